// What GPUs there are. Starting a driver, and each GPU, takes time: it is done on a thread of libuv's pool.
#include "binding/convert.h"
#include "binding/environment.h"
#include "binding/runtime.h"
#include "cuda/driver.h"

namespace noisewright::binding {

namespace {

using GpuFacts = std::tuple<std::string, std::string, int64_t, int64_t, int64_t, int64_t, std::string>;

struct Work {
  int64_t version = 0;
  std::string why_not;
  std::vector<GpuFacts> gpus;
  napi_deferred deferred = nullptr;
  napi_async_work work = nullptr;
};

void execute(napi_env, void* data) {
  auto& work = *static_cast<Work*>(data);
  const cuda::Driver& driver = cuda::driver(&work.why_not);
  work.version = driver.version;
  for (const cuda::Gpu& gpu : driver.gpus)
    work.gpus.emplace_back(
        gpu.name, std::to_string(gpu.major) + "." + std::to_string(gpu.minor), gpu.multiprocessors, gpu.clock_khz,
        gpu.total_bytes, work.why_not.empty() && gpu.why_not.empty() ? cuda::free_bytes(driver, gpu) : -1, gpu.why_not);
}

void complete(napi_env env, napi_status, void* data) {
  const std::unique_ptr<Work> work(static_cast<Work*>(data));
  guarded(env, [&]() -> napi_value {
    ok(env, napi_delete_async_work(env, work->work), "end the work");
    using Answer = std::tuple<int64_t, std::string, std::vector<GpuFacts>>;
    const napi_value answer = Convert<Answer>::to(env, {work->version, work->why_not, work->gpus});
    ok(env, napi_resolve_deferred(env, work->deferred, answer), "resolve");
    return nullptr;
  });
}

// listGpus(): Promise; see lib/native/addon.ts.
napi_value list_gpus(napi_env env, napi_callback_info) {
  return guarded(env, [&] {
    napi_value promise, name;
    auto work = std::make_unique<Work>();
    ok(env, napi_create_promise(env, &work->deferred, &promise), "create promise");
    ok(env, napi_create_string_utf8(env, "listGpus", NAPI_AUTO_LENGTH, &name), "name");
    ok(env, napi_create_async_work(env, nullptr, name, execute, complete, work.get(), &work->work), "the work");
    ok(env, napi_queue_async_work(env, work->work), "queue the work");
    work.release();
    return promise;
  });
}

}  // namespace

void define_devices(napi_env env, napi_value exports) {
  napi_value function;
  ok(env, napi_create_function(env, "listGpus", NAPI_AUTO_LENGTH, list_gpus, nullptr, &function), "listGpus");
  ok(env, napi_set_named_property(env, exports, "listGpus", function), "listGpus");
}

}  // namespace noisewright::binding
