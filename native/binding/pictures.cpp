// Pictures at another size without tensors and without the device's queue: data are prepared while the device trains.
#include <algorithm>
#include <cstring>
#include <utility>

#include "binding/convert.h"
#include "binding/environment.h"
#include "binding/runtime.h"
#include "core/encoded_picture.h"
#include "ops/resize_image/resize_plan.h"

namespace noisewright::binding {

namespace {

struct Work {
  explicit Work(const ResizeRequest& wanted) : request(wanted), plan(wanted) {}
  ResizeRequest request;
  ResizePlan plan;
  const uint8_t* picture = nullptr;  // pixels, or the bytes of a file
  size_t length = 0;
  bool encoded = false;
  uint8_t* result = nullptr;
  bool done = false;      // false: the file cannot be read this way
  napi_ref held[2] = {};  // the picture and the result
  napi_deferred deferred = nullptr;
  napi_async_work work = nullptr;
  bool out_of_memory = false;
};

void resize(const ResizePlan& plan, const uint8_t* pixels, uint8_t* result, std::vector<uint8_t>& scratch) {
  constexpr uintptr_t kAlignment = 64;
  scratch.resize(std::max(scratch.size(), static_cast<size_t>(plan.scratch_bytes(1)) + kAlignment));
  auto* aligned = scratch.data() + (kAlignment - reinterpret_cast<uintptr_t>(scratch.data()) % kAlignment);
  cpu::resize_image(plan.params(pixels, result, aligned));
}

// Some rows of the window at a time, from as many rows of the picture as they need: they stay in the cache.
bool resize_rows(const Work& work, std::vector<uint8_t>& scratch) {
  constexpr int64_t kBand = 16;
  const auto& r = work.request;
  const auto picture = EncodedPicture::open(work.picture, work.length);
  if (!picture || picture->width() != r.in_width || picture->height() != r.in_height) return false;
  const int64_t row_bytes = r.in_width * r.channels;
  std::vector<uint8_t> rows;
  int64_t held_begin = 0, held_end = 0;
  for (int64_t first = 0; first < r.rows; first += kBand) {
    const int64_t count = std::min(kBand, r.rows - first);
    int64_t begin, end;
    const ResizePlan band = work.plan.band(first, count, &begin, &end);
    rows.resize(std::max(rows.size(), static_cast<size_t>((end - begin) * row_bytes)));
    const int64_t kept = std::max<int64_t>(held_end - begin, 0);
    if (kept > 0) std::memmove(rows.data(), rows.data() + (begin - held_begin) * row_bytes, kept * row_bytes);
    if (begin + kept < end && !picture->read(begin + kept, end, rows.data() + kept * row_bytes)) return false;
    held_begin = begin;
    held_end = std::max(held_end, end);
    resize(band, rows.data(), work.result + first * r.columns * r.channels, scratch);
  }
  // Damage below the window is damage too.
  return held_end == r.in_height || picture->read(r.in_height - 1, r.in_height, rows.data());
}

void execute(napi_env, void* data) {
  auto& work = *static_cast<Work*>(data);
  try {
    std::vector<uint8_t> scratch;
    work.done = !work.encoded || resize_rows(work, scratch);
    if (!work.encoded) resize(work.plan, work.picture, work.result, scratch);
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
  CHECK(op, n.size() == 9, "expected nine numbers");
  auto work = std::make_unique<Work>(ResizeRequest{n[0], n[1], n[2], n[3], n[4], n[5], n[6], n[7], n[8],
                                                   Convert<std::string>::from(env, arguments[2])});
  napi_typedarray_type type;
  void* picture;
  ok(env, napi_get_typedarray_info(env, arguments[0], &type, &work->length, &picture, nullptr, nullptr), "the picture");
  CHECK(op, type == napi_uint8_array, "expected bytes");
  CHECK(op, encoded || work->length == static_cast<size_t>(n[0] * n[1] * n[2]), "expected ", n[0] * n[1] * n[2],
        " bytes, received ", work->length);
  CHECK(op, !encoded || n[2] == 3, "expected three channels");
  work->encoded = encoded;
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
