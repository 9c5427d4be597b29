// What GPUs there are. Starting a driver, and each GPU, takes time: it is done on a thread of libuv's pool.
#include <functional>
#include <memory>

#include "binding/convert.h"
#include "binding/environment.h"
#include "binding/runtime.h"
#include "cuda/driver.h"

namespace noisewright::binding {

namespace {

using GpuFacts = std::tuple<std::string, std::string, int64_t, int64_t, int64_t, int64_t, std::string>;

using GpuList = std::tuple<int64_t, std::string, std::vector<GpuFacts>, std::string>;

// An answer that is found on a thread of libuv's pool, and the promise of it.
template <class Answer>
struct Work {
  std::function<Answer()> find;
  Answer answer;
  napi_deferred deferred = nullptr;
  napi_async_work work = nullptr;
};

template <class Answer>
void execute(napi_env, void* data) {
  auto& work = *static_cast<Work<Answer>*>(data);
  work.answer = work.find();
}

template <class Answer>
void complete(napi_env env, napi_status, void* data) {
  const std::unique_ptr<Work<Answer>> work(static_cast<Work<Answer>*>(data));
  guarded(env, [&]() -> napi_value {
    ok(env, napi_delete_async_work(env, work->work), "end the work");
    const napi_value answer = Convert<Answer>::to(env, work->answer);
    ok(env, napi_resolve_deferred(env, work->deferred, answer), "resolve");
    return nullptr;
  });
}

// `find` must not throw.
template <class Answer>
napi_value promise_of(napi_env env, const char* called, std::function<Answer()> find) {
  napi_value promise, name;
  auto work = std::make_unique<Work<Answer>>();
  work->find = std::move(find);
  ok(env, napi_create_promise(env, &work->deferred, &promise), "create promise");
  ok(env, napi_create_string_utf8(env, called, NAPI_AUTO_LENGTH, &name), "name");
  ok(env, napi_create_async_work(env, nullptr, name, execute<Answer>, complete<Answer>, work.get(), &work->work),
     "the work");
  ok(env, napi_queue_async_work(env, work->work), "queue the work");
  work.release();
  return promise;
}

GpuList find_gpus() {
  std::string why_not;
  std::vector<GpuFacts> gpus;
  const cuda::Driver& driver = cuda::driver(&why_not);
  for (const cuda::Gpu& gpu : driver.gpus)
    gpus.emplace_back(gpu.name, std::to_string(gpu.major) + "." + std::to_string(gpu.minor), gpu.multiprocessors,
                      gpu.clock_khz, gpu.total_bytes,
                      why_not.empty() && gpu.why_not.empty() ? cuda::free_bytes(driver, gpu) : -1, gpu.why_not);
  return {driver.version, why_not, gpus, driver.no_graphs};
}

// listGpus(): Promise; see lib/native/addon.ts.
napi_value list_gpus(napi_env env, napi_callback_info) {
  return guarded(env, [&] { return promise_of<GpuList>(env, "listGpus", find_gpus); });
}

// openDevice(device): Promise<string>; see lib/native/addon.ts.
napi_value open_device(napi_env env, napi_callback_info info) {
  return guarded(env, [&] {
    napi_value argument;
    size_t count = 1;
    ok(env, napi_get_cb_info(env, info, &count, &argument, nullptr, nullptr), "arguments");
    const std::string device = Convert<std::string>::from(env, argument);
    return promise_of<std::string>(env, "openDevice", [device] { return device_status(device); });
  });
}

void def_promise(napi_env env, napi_value exports, const char* name, napi_callback callback) {
  napi_value function;
  ok(env, napi_create_function(env, name, NAPI_AUTO_LENGTH, callback, nullptr, &function), name);
  ok(env, napi_set_named_property(env, exports, name, function), name);
}

}  // namespace

std::string device_status(const std::string& device) {
  try {
    device_named(device);
    return "";
  } catch (const Error& error) {
    return error.what();
  }
}

void define_devices(napi_env env, napi_value exports) {
  def_promise(env, exports, "listGpus", list_gpus);
  def_promise(env, exports, "openDevice", open_device);
}

}  // namespace noisewright::binding
