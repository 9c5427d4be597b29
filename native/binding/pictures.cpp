// Pictures at another size without tensors and without the device's queue: data are prepared while the device trains.
#include <utility>

#include "binding/convert.h"
#include "binding/environment.h"
#include "binding/runtime.h"
#include "ops/resize_image/resize_encoded.h"

namespace noisewright::binding {

namespace {

struct Work {
  explicit Work(const ResizeRequest& wanted) : request(wanted), plan(wanted) {}
  ResizeRequest request;
  ResizePlan plan;
  const uint8_t* picture = nullptr;  // pixels, or the bytes of a file
  size_t length = 0;
  bool encoded = false;
  int orientation = 1;  // of a file
  uint8_t* result = nullptr;
  bool done = false;      // false: the file cannot be read this way
  napi_ref held[2] = {};  // the picture and the result
  napi_deferred deferred = nullptr;
  napi_async_work work = nullptr;
  bool out_of_memory = false;
};

void execute(napi_env, void* data) {
  auto& work = *static_cast<Work*>(data);
  try {
    work.done = !work.encoded || resize_encoded(work.picture, work.length, work.orientation, work.request, work.result);
    if (!work.encoded) resize_pixels(work.plan, work.picture, work.result);
  } catch (const std::bad_alloc&) {
    work.out_of_memory = true;
  }
}

void complete(napi_env env, napi_status status, void* data) {
  const std::unique_ptr<Work> work(static_cast<Work*>(data));
  guarded(env, [&]() -> napi_value {
    napi_value result;
    if (work->done)
      ok(env, napi_get_reference_value(env, work->held[1], &result), "the result");
    else
      ok(env, napi_get_null(env, &result), "no result");
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

napi_value start(napi_env env, napi_callback_info info, bool encoded) {
  const char* op = encoded ? "resizeEncoded" : "resizePicture";
  napi_value arguments[3], promise, buffer, name;
  size_t count = 3;
  ok(env, napi_get_cb_info(env, info, &count, arguments, nullptr, nullptr), "arguments");
  const auto n = Convert<std::vector<int64_t>>::from(env, arguments[1]);
  CHECK(op, n.size() == (encoded ? 10 : 9), "expected ", encoded ? "ten" : "nine", " numbers");
  auto work = std::make_unique<Work>(ResizeRequest{n[0], n[1], n[2], n[3], n[4], n[5], n[6], n[7], n[8],
                                                   Convert<std::string>::from(env, arguments[2])});
  napi_typedarray_type type;
  void* picture;
  ok(env, napi_get_typedarray_info(env, arguments[0], &type, &work->length, &picture, nullptr, nullptr), "the picture");
  CHECK(op, type == napi_uint8_array, "expected bytes");
  CHECK(op, encoded || work->length == static_cast<size_t>(n[0] * n[1] * n[2]), "expected ", n[0] * n[1] * n[2],
        " bytes, received ", work->length);
  CHECK(op, !encoded || n[2] == 3, "expected three channels");
  CHECK(op, !encoded || (n[9] >= 1 && n[9] <= 8), "expected an orientation of 1 to 8");
  work->encoded = encoded;
  work->orientation = encoded ? static_cast<int>(n[9]) : 1;
  work->picture = static_cast<const uint8_t*>(picture);
  void* result;
  ok(env, napi_create_arraybuffer(env, static_cast<size_t>(n[7] * n[8] * n[2]), &result, &buffer), "the result");
  work->result = static_cast<uint8_t*>(result);
  ok(env, napi_create_reference(env, arguments[0], 1, &work->held[0]), "hold the picture");
  ok(env, napi_create_reference(env, buffer, 1, &work->held[1]), "hold the result");
  ok(env, napi_create_promise(env, &work->deferred, &promise), "create promise");
  ok(env, napi_create_string_utf8(env, op, NAPI_AUTO_LENGTH, &name), "name");
  ok(env, napi_create_async_work(env, nullptr, name, execute, complete, work.get(), &work->work), "the work");
  ok(env, napi_queue_async_work(env, work->work), "queue the work");
  work.release();
  return promise;
}

// See lib/native/addon.ts.
napi_value resize_picture(napi_env env, napi_callback_info info) {
  return guarded(env, [&] { return start(env, info, false); });
}

napi_value resize_encoded(napi_env env, napi_callback_info info) {
  return guarded(env, [&] { return start(env, info, true); });
}

}  // namespace

void define_pictures(napi_env env, napi_value exports) {
  const std::pair<const char*, napi_callback> functions[] = {{"resizePicture", resize_picture},
                                                             {"resizeEncoded", resize_encoded}};
  for (const auto& [name, callback] : functions) {
    napi_value function;
    ok(env, napi_create_function(env, name, NAPI_AUTO_LENGTH, callback, nullptr, &function), name);
    ok(env, napi_set_named_property(env, exports, name, function), name);
  }
}

}  // namespace noisewright::binding
