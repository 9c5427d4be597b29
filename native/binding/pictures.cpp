// Pictures at another size without tensors and without the device's queue: data are prepared while the device trains.
#include "binding/convert.h"
#include "binding/environment.h"
#include "binding/runtime.h"
#include "ops/resize_image/resize_plan.h"

namespace noisewright::binding {

namespace {

struct Work {
  explicit Work(const ResizeRequest& request) : plan(request) {}
  ResizePlan plan;
  const uint8_t* pixels = nullptr;
  void* result = nullptr;
  napi_ref held[2] = {};  // the picture and the result
  napi_deferred deferred = nullptr;
  napi_async_work work = nullptr;
  bool out_of_memory = false;
};

void execute(napi_env, void* data) {
  auto& work = *static_cast<Work*>(data);
  try {
    constexpr uintptr_t kAlignment = 64;
    std::vector<uint8_t> scratch(static_cast<size_t>(work.plan.scratch_bytes(1)) + kAlignment);
    auto* aligned = scratch.data() + (kAlignment - reinterpret_cast<uintptr_t>(scratch.data()) % kAlignment);
    cpu::resize_image(work.plan.params(work.pixels, static_cast<uint8_t*>(work.result), aligned));
  } catch (const std::bad_alloc&) {
    work.out_of_memory = true;
  }
}

void complete(napi_env env, napi_status status, void* data) {
  const std::unique_ptr<Work> work(static_cast<Work*>(data));
  guarded(env, [&]() -> napi_value {
    napi_value result;
    ok(env, napi_get_reference_value(env, work->held[1], &result), "the result");
    for (napi_ref reference : work->held) ok(env, napi_delete_reference(env, reference), "let go");
    ok(env, napi_delete_async_work(env, work->work), "end the work");
    if (status == napi_ok && !work->out_of_memory) {
      ok(env, napi_resolve_deferred(env, work->deferred, result), "resolve");
    } else {
      const Failure failure{work->out_of_memory ? ErrorKind::kOutOfMemory : ErrorKind::kInternal, "resizePicture",
                            work->out_of_memory ? "out of memory" : "the work was cancelled", 0};
      ok(env, napi_reject_deferred(env, work->deferred, make_error(env, failure)), "reject");
    }
    return nullptr;
  });
}

// resizePicture(pixels, numbers, method): Promise<ArrayBuffer>; see lib/native/addon.ts.
napi_value resize_picture(napi_env env, napi_callback_info info) {
  return guarded(env, [&] {
    napi_value arguments[3], promise, buffer, name;
    size_t count = 3;
    ok(env, napi_get_cb_info(env, info, &count, arguments, nullptr, nullptr), "arguments");
    const auto n = Convert<std::vector<int64_t>>::from(env, arguments[1]);
    CHECK("resizePicture", n.size() == 9, "expected nine numbers");
    auto work = std::make_unique<Work>(ResizeRequest{n[0], n[1], n[2], n[3], n[4], n[5], n[6], n[7], n[8],
                                                     Convert<std::string>::from(env, arguments[2])});
    napi_typedarray_type type;
    size_t length;
    void* pixels;
    ok(env, napi_get_typedarray_info(env, arguments[0], &type, &length, &pixels, nullptr, nullptr), "the picture");
    CHECK("resizePicture", type == napi_uint8_array && length == static_cast<size_t>(n[0] * n[1] * n[2]), "expected ",
          n[0] * n[1] * n[2], " bytes, received ", length);
    work->pixels = static_cast<const uint8_t*>(pixels);
    ok(env, napi_create_arraybuffer(env, static_cast<size_t>(n[7] * n[8] * n[2]), &work->result, &buffer),
       "the result");
    ok(env, napi_create_reference(env, arguments[0], 1, &work->held[0]), "hold the picture");
    ok(env, napi_create_reference(env, buffer, 1, &work->held[1]), "hold the result");
    ok(env, napi_create_promise(env, &work->deferred, &promise), "create promise");
    ok(env, napi_create_string_utf8(env, "resizePicture", NAPI_AUTO_LENGTH, &name), "name");
    ok(env, napi_create_async_work(env, nullptr, name, execute, complete, work.get(), &work->work), "the work");
    ok(env, napi_queue_async_work(env, work->work), "queue the work");
    work.release();
    return promise;
  });
}

}  // namespace

void define_pictures(napi_env env, napi_value exports) {
  napi_value function;
  ok(env, napi_create_function(env, "resizePicture", NAPI_AUTO_LENGTH, resize_picture, nullptr, &function),
     "resizePicture");
  ok(env, napi_set_named_property(env, exports, "resizePicture", function), "resizePicture");
}

}  // namespace noisewright::binding
