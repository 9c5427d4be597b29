// Tensors read from files as they stand there, on the device thread.
#include "binding/define.h"
#include "binding/runtime.h"
#include "core/file.h"

namespace noisewright::binding {

namespace {

// `bytes of shape and dtype` from `offset` of an open file. The descriptor may be closed once this has returned.
Tensor file_tensor(int64_t fd, int64_t offset, const Shape& shape, DType dtype) {
  auto file = std::make_shared<File>(fd, "fileTensor");
  Tensor t = make_tensor(cpu_device(), shape, dtype);
  launch("fileTensor", {}, {t}, [=] {
    const auto bytes = static_cast<int64_t>(t.bytes());
    if (!file->read(offset, bytes, t.data())) file->check("fileTensor", offset, bytes);
  });
  return t;
}

}  // namespace

void define_io(napi_env env, napi_value exports) { def(env, exports, "fileTensor", &file_tensor); }

}  // namespace noisewright::binding
