// The JavaScript side of a tensor: an object with `shape` and `dtype` that owns one reference to the storage.
// lib/tensor/tensor.ts wraps it; dispose() drops the reference at once, the garbage collector's finalizer is the safety
// net.
#include "binding/convert.h"
#include "binding/runtime.h"

namespace noisewright::binding {

namespace {

constexpr napi_type_tag kTensorTag = {0x6e6f697365777269ull, 0x67687474656e7372ull};

struct TensorObject {
  std::optional<Tensor> tensor;
  int64_t accounted = 0;  // bytes the garbage collector was told about
};

TensorObject& object_of(napi_env env, napi_value v) {
  bool is_tensor = false;
  void* object = nullptr;
  if (napi_check_object_type_tag(env, v, &kTensorTag, &is_tensor) != napi_ok || !is_tensor ||
      napi_unwrap(env, v, &object) != napi_ok)
    throw Error(ErrorKind::kInternal, "expected a tensor handle");
  return *static_cast<TensorObject*>(object);
}

// V8 answers every 32 MB or so of growth outside its heap with marking on JavaScript's thread: 0.3 to 4 ms for each
// 16 MB tensor, measured. Scopes and dispose() free tensors; the collector, which only finds the forgotten ones, hears
// of a part of their bytes, so that it wakes up for gigabytes and not for every layer.
constexpr int64_t kReportedPart = 64;

void account(napi_env env, TensorObject& object, int64_t bytes) {
  if (bytes == object.accounted) return;
  int64_t total;
  napi_adjust_external_memory(env, bytes - object.accounted, &total);
  object.accounted = bytes;
}

// What a recorded op made holds memory as long as JavaScript or a queued job can ask for it, not as long as the
// recording that keeps the storage.
void let_go(TensorObject& object) {
  if (!object.tensor) return;
  const std::shared_ptr<Storage> storage = std::move(object.tensor->storage);
  object.tensor.reset();
  if (--storage->handles > 0 || !storage->recorded) return;
  Job job;
  job.op = "release";
  job.run = [storage] { storage->release(); };
  storage->device()->post(std::move(job));
}

void finalize(napi_env env, void* data, void*) {
  auto* object = static_cast<TensorObject*>(data);
  let_go(*object);
  account(env, *object, 0);
  delete object;
}

}  // namespace

napi_value wrap_tensor(napi_env env, Tensor tensor) {
  napi_value v, shape, dtype;
  ok(env, napi_create_object(env, &v), "create object");
  shape = Convert<Shape>::to(env, tensor.shape);
  dtype = Convert<DType>::to(env, tensor.dtype);
  const napi_property_descriptor properties[] = {
      {"shape", nullptr, nullptr, nullptr, nullptr, shape, napi_enumerable, nullptr},
      {"dtype", nullptr, nullptr, nullptr, nullptr, dtype, napi_enumerable, nullptr},
  };
  ok(env, napi_define_properties(env, v, 2, properties), "define properties");
  // Only what is unusual is said: most tensors are packed and on the CPU.
  if (!tensor.contiguous())
    ok(env, napi_set_named_property(env, v, "strided", Convert<bool>::to(env, true)), "strided");
  if (tensor.device()->kind() != DeviceKind::kCpu)
    ok(env, napi_set_named_property(env, v, "device", Convert<std::string>::to(env, tensor.device()->name())),
       "device");
  auto* object = new TensorObject{std::move(tensor)};
  if (napi_wrap(env, v, object, finalize, nullptr, nullptr) != napi_ok) {
    delete object;
    throw Error(ErrorKind::kInternal, "a tensor handle could not be made");
  }
  Storage& storage = *object->tensor->storage;
  storage.handles++;
  ok(env, napi_type_tag_object(env, v, &kTensorTag), "type tag");
  if (storage.claim_accounting()) account(env, *object, static_cast<int64_t>(storage.bytes()) / kReportedPart);
  return v;
}

const Tensor& unwrap_tensor(napi_env env, napi_value v) {
  TensorObject& object = object_of(env, v);
  if (!object.tensor) throw Error(ErrorKind::kDisposed, "the tensor has been disposed");
  return *object.tensor;
}

void dispose_tensor(napi_env env, napi_value v) {
  TensorObject& object = object_of(env, v);
  let_go(object);
  account(env, object, 0);
}

const void* tensor_identity(napi_env env, napi_value v) { return &object_of(env, v); }

}  // namespace noisewright::binding
