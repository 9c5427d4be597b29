// Devices, counters, creation and reading of tensors.
#include "binding/runtime.h"

#include <cstdlib>
#include <cstring>

#include "binding/define.h"
#include "core/cpu_target.h"

namespace noisewright::binding {

namespace {

std::string cuda_status(const std::optional<std::string>& device) { return device_status(device.value_or("cuda")); }

std::vector<int64_t> memory(const std::string& device) {
  Device* d = device_named(device);
  const MemoryCounters c = d->pool().counters();
  return {c.live_buffers, c.live_bytes,      c.peak_bytes,     c.cached_bytes,  c.guard_violations,
          d->jobs_run(),  d->jobs_waiting(), d->paged_bytes(), c.reserved_bytes};
}

void reset_peak(const std::string& device) { device_named(device)->pool().reset_peak(); }
void release_cached(const std::string& device) { device_named(device)->pool().release_cached(); }
void set_memory_limit(const std::string& device, int64_t bytes) { device_named(device)->pool().set_limit(bytes); }
void set_memory_guards(bool on) { cpu_device()->pool().set_guards(on); }
int64_t check_guards() { return cpu_device()->pool().check_guards(); }
void set_thread_count(int64_t count) { cpu_device()->set_thread_count(static_cast<int>(count)); }
int64_t get_thread_count() { return cpu_device()->thread_count(); }

std::vector<std::string> cpu_targets() {
  std::vector<std::string> names;
  for (int t = 0; t < kCpuTargetCount; t++)
    if (cpu_supports(static_cast<CpuTarget>(t))) names.push_back(kCpuTargetNames[t]);
  return names;
}
std::string get_cpu_target() { return kCpuTargetNames[static_cast<int>(current_cpu_target())]; }
bool choose_cpu_target(const std::string& name) {
  for (int t = 0; t < kCpuTargetCount; t++)
    if (name == kCpuTargetNames[t] && cpu_supports(static_cast<CpuTarget>(t))) {
      // In queue order, so that operations enqueued before still run as they were meant to.
      Job job;
      job.op = "setCpuTarget";
      job.run = [t] { set_cpu_target(static_cast<CpuTarget>(t)); };
      cpu_device()->enqueue(std::move(job));
      return true;
    }
  return false;
}

// The same storage seen with another shape, strides and offset.
Tensor view(const Tensor& t, const Shape& shape, const Shape& strides, int64_t offset) {
  CHECK("view", shape.size() == strides.size(), "shape and strides must have one length");
  Tensor v = t;
  v.shape = shape;
  v.strides = strides;
  v.offset = t.offset + offset;
  // The furthest elements to either side, in a type that none of these products can overflow.
  __extension__ typedef __int128 Wide;
  Wide first = v.offset, last = v.offset;
  bool holds_elements = true;
  for (size_t i = 0; i < shape.size(); i++) {
    CHECK("view", shape[i] >= 0 && shape[i] <= int64_t{1} << 53, "a size must be zero or more");
    if (shape[i] == 0) holds_elements = false;
    const Wide reach = static_cast<Wide>(shape[i] - 1) * strides[i];
    (reach < 0 ? first : last) += reach;
  }
  CHECK("view",
        !holds_elements ||
            (first >= 0 && (last + 1) * static_cast<Wide>(item_size(t.dtype)) <= static_cast<Wide>(t.storage->bytes())),
        "the view reaches outside its storage");
  return v;
}
std::vector<int64_t> layout(const Tensor& t) {
  std::vector<int64_t> values = t.strides;
  values.push_back(t.offset);
  return values;
}

// fromBytes(device, bytes: Uint8Array, shape, dtype): copies the bytes before it returns.
napi_value from_bytes(napi_env env, napi_callback_info info) {
  return guarded(env, [&] {
    napi_value a[4];
    size_t count = 4;
    ok(env, napi_get_cb_info(env, info, &count, a, nullptr, nullptr), "arguments");
    enter_call(env);
    Device* device = device_named(Convert<std::string>::from(env, a[0]));
    napi_typedarray_type type;
    size_t length;
    void* data;
    ok(env, napi_get_typedarray_info(env, a[1], &type, &length, &data, nullptr, nullptr), "expected a Uint8Array");
    Tensor t = make_tensor(device, Convert<Shape>::from(env, a[2]), Convert<DType>::from(env, a[3]));
    CHECK("fromBytes", type == napi_uint8_array && length == t.bytes(), "expected ", t.bytes(), " bytes, received ",
          length);
    auto bytes = std::make_shared<std::vector<char>>(static_cast<char*>(data), static_cast<char*>(data) + length);
    launch("fromBytes", {}, {t}, [t, bytes] { Device::running()->upload(t.data(), bytes->data(), bytes->size()); });
    return wrap_tensor(env, t);
  });
}

// Memory on its way to JavaScript; freed with its last owner wherever the journey ends.
struct HostCopy {
  explicit HostCopy(size_t bytes) : bytes(bytes), data(std::malloc(bytes > 0 ? bytes : 1)) {}
  ~HostCopy() { std::free(data); }
  HostCopy(const HostCopy&) = delete;
  HostCopy& operator=(const HostCopy&) = delete;
  const size_t bytes;
  void* const data;
};

napi_value array_buffer(napi_env env, const std::shared_ptr<HostCopy>& copy) {
  napi_value buffer;
  auto owner = std::make_unique<std::shared_ptr<HostCopy>>(copy);
  const auto release = [](napi_env, void*, void* hint) { delete static_cast<std::shared_ptr<HostCopy>*>(hint); };
  if (napi_create_external_arraybuffer(env, copy->data, copy->bytes, release, owner.get(), &buffer) == napi_ok) {
    owner.release();
    return buffer;
  }
  void* data = nullptr;  // an embedder that forbids external buffers
  ok(env, napi_create_arraybuffer(env, copy->bytes, &data, &buffer), "create an ArrayBuffer");
  std::memcpy(data, copy->data, copy->bytes);
  return buffer;
}

// read(handle): Promise<ArrayBuffer> with the packed elements. The tensor must be contiguous.
napi_value read(napi_env env, napi_callback_info info) {
  return guarded(env, [&] {
    napi_value argument, promise;
    size_t count = 1;
    ok(env, napi_get_cb_info(env, info, &count, &argument, nullptr, nullptr), "arguments");
    enter_call(env);
    const Tensor t = unwrap_tensor(env, argument);
    CHECK("read", t.contiguous(), "expected a contiguous tensor");
    Environment& environment = Environment::of(env);
    napi_deferred deferred;
    ok(env, napi_create_promise(env, &deferred, &promise), "create promise");
    environment.expect(env);
    auto result = std::make_shared<std::shared_ptr<HostCopy>>();
    Job job;
    job.op = "read";
    job.sequence = environment.sequence;
    job.client = environment.client;
    job.inputs = {t.storage};
    job.run = [t, result] {
      const size_t bytes = t.bytes();
      auto copy = std::make_shared<HostCopy>(bytes);
      if (!copy->data)
        throw Error(ErrorKind::kOutOfMemory, "read: out of memory: needed " + std::to_string(bytes) + " bytes");
      Device::running()->download(copy->data, t.data(), bytes);
      *result = std::move(copy);
    };
    job.settled = [mailbox = environment.mailbox, deferred, result](std::shared_ptr<const Failure> failure) {
      Environment::post(mailbox, [deferred, failure, copy = std::move(*result)](napi_env env) {
        Environment::of(env).delivered(env);
        if (failure)
          ok(env, napi_reject_deferred(env, deferred, make_error(env, *failure)), "reject");
        else
          ok(env, napi_resolve_deferred(env, deferred, array_buffer(env, copy)), "resolve");
      });
    };
    t.device()->enqueue(std::move(job));
    return promise;
  });
}

napi_value dispose(napi_env env, napi_callback_info info) {
  return guarded(env, [&]() -> napi_value {
    napi_value argument;
    size_t count = 1;
    ok(env, napi_get_cb_info(env, info, &count, &argument, nullptr, nullptr), "arguments");
    dispose_tensor(env, argument);
    return nullptr;
  });
}

// mark(n): what is enqueued from now on belongs to op number n, by which a late failure finds its call site.
napi_value mark(napi_env env, napi_callback_info info) {
  napi_value argument;
  size_t count = 1;
  double number = 0;
  napi_get_cb_info(env, info, &count, &argument, nullptr, nullptr);
  napi_get_value_double(env, argument, &number);
  Environment::of(env).sequence = static_cast<uint64_t>(number);
  return nullptr;
}

}  // namespace

void def_raw(napi_env env, napi_value exports, const char* name, napi_callback function) {
  napi_value f;
  ok(env, napi_create_function(env, name, NAPI_AUTO_LENGTH, function, nullptr, &f), name);
  ok(env, napi_set_named_property(env, exports, name, f), name);
}

void define_runtime(napi_env env, napi_value exports) {
  def_raw(env, exports, "fromBytes", from_bytes);
  def_raw(env, exports, "read", read);
  def_raw(env, exports, "dispose", dispose);
  def_raw(env, exports, "mark", mark);
  def(env, exports, "view", &view);
  def(env, exports, "layout", &layout);
  def(env, exports, "cudaStatus", &cuda_status);
  def(env, exports, "memory", &memory);
  def(env, exports, "resetPeak", &reset_peak);
  def(env, exports, "releaseCached", &release_cached);
  def(env, exports, "setMemoryLimit", &set_memory_limit);
  def(env, exports, "setMemoryGuards", &set_memory_guards);
  def(env, exports, "checkGuards", &check_guards);
  def(env, exports, "setThreadCount", &set_thread_count);
  def(env, exports, "threadCount", &get_thread_count);
  def(env, exports, "cpuTargets", &cpu_targets);
  def(env, exports, "cpuTarget", &get_cpu_target);
  def(env, exports, "setCpuTarget", &choose_cpu_target);
}

}  // namespace noisewright::binding
