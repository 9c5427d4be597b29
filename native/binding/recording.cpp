// Steps that are recorded and repeated (core/recording.h); lib/autograd/recorder.ts is their user.
#include "core/recording.h"

#include <set>

#include "binding/define.h"
#include "binding/runtime.h"
#include "core/launch.h"

namespace noisewright::binding {

namespace {

constexpr napi_type_tag kRecordingTag = {0x6e6f697365777269ull, 0x7265636f7264696eull};

using Shared = std::shared_ptr<Recording>;

Job job_named(napi_env env, const char* op) {
  Job job;
  job.op = op;
  job.sequence = Environment::of(env).sequence;
  job.client = Environment::of(env).client;
  return job;
}

// Runs of it may be queued, and what a device made of it belongs to the device's thread.
void let_go(Shared& owner) {
  if (!owner) return;
  const Shared recording = std::move(owner);
  Job job;
  job.op = "disposeRecording";
  job.run = [recording] { recording->capture.reset(); };
  recording->device()->post(std::move(job));
}

void finalize(napi_env, void* data, void*) {
  auto* owner = static_cast<Shared*>(data);
  let_go(*owner);
  delete owner;
}

napi_value wrap(napi_env env, Shared recording) {
  napi_value v;
  auto owner = std::make_unique<Shared>(std::move(recording));
  ok(env, napi_create_object(env, &v), "create object");
  ok(env, napi_wrap(env, v, owner.get(), finalize, nullptr, nullptr), "wrap the recording");
  owner.release();
  ok(env, napi_type_tag_object(env, v, &kRecordingTag), "type tag");
  return v;
}

Shared& owner_of(napi_env env, napi_value v) {
  bool is_recording = false;
  void* data = nullptr;
  if (napi_check_object_type_tag(env, v, &kRecordingTag, &is_recording) != napi_ok || !is_recording ||
      napi_unwrap(env, v, &data) != napi_ok)
    throw Error(ErrorKind::kInternal, "expected a recording");
  return *static_cast<Shared*>(data);
}

Shared recording_of(napi_env env, napi_value v) {
  const Shared recording = owner_of(env, v);
  if (!recording) throw Error(ErrorKind::kDisposed, "the recording has been disposed");
  return recording;
}

template <size_t count>
struct Arguments {
  napi_value values[count];
  Arguments(napi_env env, napi_callback_info info) {
    size_t given = count;
    ok(env, napi_get_cb_info(env, info, &given, values, nullptr, nullptr), "arguments");
    enter_call(env);
  }
  napi_value operator[](size_t i) const { return values[i]; }
};

// beginRecording(inputs): [recording, placeholders]
napi_value begin_recording(napi_env env, napi_callback_info info) {
  return guarded(env, [&] {
    const Arguments<1> a(env, info);
    const auto inputs = Convert<Tensors>::from(env, a[0]);
    CHECK("recording", !inputs.empty(), "a step needs an input");
    CHECK("recording", !caller().recording, "a step is being recorded already");
    const auto recording = std::make_shared<Recording>(inputs);
    Job job = job_named(env, "recording");
    job.inputs = storages_of(inputs);
    job.outputs = storages_of(recording->placeholders());
    job.run = [recording, inputs] { recording->lend(inputs); };
    recording->device()->post(std::move(job));
    napi_value pair;
    ok(env, napi_create_array_with_length(env, 2, &pair), "create array");
    ok(env, napi_set_element(env, pair, 0, wrap(env, recording)), "recording");
    ok(env, napi_set_element(env, pair, 1, Convert<Tensors>::to(env, recording->placeholders())), "placeholders");
    caller().recording = recording;
    return pair;
  });
}

// How many handles JavaScript names of each storage; one handle may be named several times.
std::map<const Storage*, int> handles_named(napi_env env, napi_value list, const Tensors& tensors) {
  std::set<const void*> seen;
  std::map<const Storage*, int> counts;
  for (size_t i = 0; i < tensors.size(); i++) {
    napi_value item;
    ok(env, napi_get_element(env, list, static_cast<uint32_t>(i), &item), "array element");
    if (seen.insert(tensor_identity(env, item)).second) counts[tensors[i].storage.get()]++;
  }
  return counts;
}

// endRecording(recording, results): fresh tensors that take over the results' memory, or null when it was refused and
// the results stay what they are.
napi_value end_recording(napi_env env, napi_callback_info info) {
  return guarded(env, [&] {
    const Arguments<2> a(env, info);
    caller().recording = nullptr;
    const Shared recording = recording_of(env, a[0]);
    const auto results = Convert<Tensors>::from(env, a[1]);
    if (!recording->finish(results, handles_named(env, a[1], results)))
      return Convert<std::optional<Tensor>>::to(env, std::nullopt);
    auto [tensors, storages] = recording->fresh_outputs();
    Job job = job_named(env, "recording");
    job.outputs = storages;
    job.run = [recording, storages = storages] {
      recording->hand_over(storages);
      recording->release();  // what ops made and gave to nobody
    };
    recording->device()->post(std::move(job));
    return Convert<Tensors>::to(env, std::move(tensors));
  });
}

// abandonRecording(recording, op, reason): the step ended otherwise, or what it did cannot be repeated.
napi_value abandon_recording(napi_env env, napi_callback_info info) {
  return guarded(env, [&]() -> napi_value {
    const Arguments<3> a(env, info);
    caller().recording = nullptr;
    recording_of(env, a[0])->refuse(Convert<std::string>::from(env, a[1]), Convert<std::string>::from(env, a[2]));
    return nullptr;
  });
}

// recordingRefusal(recording): [op, reason], or null
napi_value recording_refusal(napi_env env, napi_callback_info info) {
  return guarded(env, [&] {
    const Arguments<1> a(env, info);
    std::optional<std::tuple<std::string, std::string>> pair;
    if (const auto& refusal = recording_of(env, a[0])->refusal()) pair.emplace(refusal->op, refusal->reason);
    return Convert<decltype(pair)>::to(env, std::move(pair));
  });
}

// replay(recording, inputs): tensors like the results
napi_value replay(napi_env env, napi_callback_info info) {
  return guarded(env, [&] {
    const Arguments<2> a(env, info);
    const Shared recording = recording_of(env, a[0]);
    const auto inputs = Convert<Tensors>::from(env, a[1]);
    const Tensors& expected = recording->placeholders();
    CHECK("replay", inputs.size() == expected.size(), "expected ", expected.size(), " inputs, received ",
          inputs.size());
    for (size_t i = 0; i < inputs.size(); i++)
      CHECK("replay",
            inputs[i].contiguous() && inputs[i].shape == expected[i].shape && inputs[i].dtype == expected[i].dtype &&
                inputs[i].device() == recording->device(),
            "input ", i, " is not like that of the recording");
    auto [tensors, storages] = recording->fresh_outputs();
    Job job = job_named(env, "replay");
    job.inputs = storages_of(inputs);
    job.outputs = storages;
    job.run = [recording, inputs, storages = storages, sequence = job.sequence] {
      recording->sequence = sequence;
      recording->device()->replay(*recording, inputs, storages);
    };
    recording->device()->enqueue(std::move(job));
    return Convert<Tensors>::to(env, std::move(tensors));
  });
}

// recordingReport(recording): [replays, launches of a graph, why there is no graph]
napi_value recording_report(napi_env env, napi_callback_info info) {
  return guarded(env, [&] {
    const Arguments<1> a(env, info);
    const Recording::Report report = recording_of(env, a[0])->report();
    return Convert<std::tuple<int64_t, int64_t, std::string>>::to(env,
                                                                  {report.replays, report.launches, report.no_capture});
  });
}

napi_value dispose_recording(napi_env env, napi_callback_info info) {
  return guarded(env, [&]() -> napi_value {
    const Arguments<1> a(env, info);
    let_go(owner_of(env, a[0]));
    return nullptr;
  });
}

}  // namespace

void define_recording(napi_env env, napi_value exports) {
  def_raw(env, exports, "beginRecording", begin_recording);
  def_raw(env, exports, "endRecording", end_recording);
  def_raw(env, exports, "abandonRecording", abandon_recording);
  def_raw(env, exports, "recordingRefusal", recording_refusal);
  def_raw(env, exports, "replay", replay);
  def_raw(env, exports, "recordingReport", recording_report);
  def_raw(env, exports, "disposeRecording", dispose_recording);
}

}  // namespace noisewright::binding
