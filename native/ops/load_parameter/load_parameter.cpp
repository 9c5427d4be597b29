#include "ops/load_parameter/load_parameter.h"

#include "core/file.h"
#include "core/launch.h"
#include "core/transfer.h"
#include "ops/ops.h"

namespace noisewright {

namespace {

struct FileType {
  const char* name;
  FileFloat type;
  int64_t bytes;
};
constexpr FileType kFileTypes[] = {{"F64", FileFloat::kFloat64, 8},
                                   {"F32", FileFloat::kFloat32, 4},
                                   {"F16", FileFloat::kFloat16, 2},
                                   {"BF16", FileFloat::kBFloat16, 2},
                                   {"F8_E4M3", FileFloat::kFloat8E4M3, 1}};

}  // namespace

Tensor load_parameter(int64_t descriptor, int64_t offset, const std::string& file_type, const Shape& shape,
                      bool channels_last, DType dtype, const std::string& device) {
  Device* target = device_named(device);
  const FileType* type = nullptr;
  for (const FileType& candidate : kFileTypes)
    if (file_type == candidate.name) type = &candidate;
  CHECK("loadParameter", type, "the file's element type must be F64, F32, F16, BF16 or F8_E4M3, received ", file_type);
  CHECK("loadParameter", is_float(dtype), "dtype must be a float type");
  CHECK("loadParameter", count_of(shape) > 0 && offset >= 0, "sizes must be positive");
  LoadParameterParams p{};
  p.offset = offset;
  p.from = type->type;
  p.rows = 1;
  p.channels = count_of(shape);
  p.taps = 1;
  if (channels_last) {
    CHECK("loadParameter", shape.size() == 4, "a convolution's weight has the shape [co, kh, kw, ci]");
    p.rows = shape[0];
    p.taps = shape[1] * shape[2];
    p.channels = shape[3];
    CHECK("loadParameter", p.taps <= 4096, "kernels are at most 64 wide");
  }
  p.to = dtype;
  auto file = std::make_shared<File>(descriptor, "loadParameter");
  Tensor t = make_tensor(cpu_device(), shape, dtype);
  const int64_t bytes = t.count() * type->bytes;
  launch("loadParameter", {}, {t}, [=]() mutable {
    p.read = [](void* f, int64_t at, int64_t n, void* to) { return static_cast<File*>(f)->read(at, n, to); };
    p.file = file.get();
    p.y = t.data();
    run_kernel("loadParameter", {cpu::load_parameter}, p);
    file->check("loadParameter", p.offset, bytes);
  });
  return target == t.device() ? t : copy_to("loadParameter", t, target);
}

}  // namespace noisewright
