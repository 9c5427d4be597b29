#include "emulation/streams.h"

#include <deque>
#include <map>
#include <memory>
#include <mutex>

#include "emulation/settings.h"

namespace noisewright::emulation {

namespace {

using cuda::Result;

constexpr Result kInvalidHandle = 400;

// A place in a stream: after as many of the things it was asked for.
struct Place {
  cuda::Stream stream = nullptr;
  uint64_t count = 0;
};

struct Request {
  std::function<Result()> copy;  // or, without one, a wait
  Place wait;
};

struct StreamState {
  int device;
  std::deque<Request> requests;
  uint64_t asked = 0, done = 0;
  Result error = 0;
};

std::mutex mutex;
auto& streams() {
  static auto* map = new std::map<cuda::Stream, std::unique_ptr<StreamState>>();
  return *map;
}
auto& events() {  // a place without a stream: never recorded
  static auto* map = new std::map<cuda::Event, Place>();
  return *map;
}

StreamState* find(cuda::Stream stream) {
  const auto found = streams().find(stream);
  return found == streams().end() ? nullptr : found->second.get();
}

// Waits point to what was asked for before them, so this ends.
void reach(const Place& place) {
  StreamState* state = find(place.stream);
  if (!state) return;
  while (state->done < place.count) {
    Request request = std::move(state->requests.front());
    state->requests.pop_front();
    state->done++;
    if (!request.copy)
      reach(request.wait);
    else if (const Result error = request.copy(); error && !state->error)
      state->error = error;
  }
}

void ask(StreamState& state, Request request) {
  state.requests.push_back(std::move(request));
  state.asked++;
}

Result error_of(StreamState& state) {
  const Result error = state.error;
  state.error = 0;
  return error;
}

bool early() { return setting("STREAMS") == "early"; }

}  // namespace

cuda::Stream new_stream(int device) {
  std::lock_guard lock(mutex);
  auto state = std::make_unique<StreamState>();
  state->device = device;
  const auto stream = reinterpret_cast<cuda::Stream>(state.get());
  streams()[stream] = std::move(state);
  return stream;
}

cuda::Event new_event() {
  std::lock_guard lock(mutex);
  const auto event = reinterpret_cast<cuda::Event>(events().size() + 1);
  events()[event] = {};
  return event;
}

Result postpone(cuda::Stream stream, std::function<Result()> copy, bool with_host) {
  std::lock_guard lock(mutex);
  StreamState* state = find(stream);
  if (!state) return kInvalidHandle;
  ask(*state, {std::move(copy), {}});
  if (with_host && early()) reach({stream, state->asked});
  return 0;
}

Result record(cuda::Event event, cuda::Stream stream) {
  std::lock_guard lock(mutex);
  StreamState* state = find(stream);
  const auto known = events().find(event);
  if (!state || known == events().end()) return kInvalidHandle;
  known->second = {stream, state->asked};
  return 0;
}

Result let_wait(cuda::Stream stream, cuda::Event event) {
  std::lock_guard lock(mutex);
  StreamState* state = find(stream);
  const auto known = events().find(event);
  if (!state || known == events().end()) return kInvalidHandle;
  ask(*state, {nullptr, known->second});
  return 0;
}

Result finish(cuda::Stream stream) {
  std::lock_guard lock(mutex);
  StreamState* state = find(stream);
  if (!state) return kInvalidHandle;
  reach({stream, state->asked});
  return error_of(*state);
}

Result finish(cuda::Event event) {
  std::lock_guard lock(mutex);
  const auto known = events().find(event);
  if (known == events().end()) return kInvalidHandle;
  StreamState* state = find(known->second.stream);
  if (!state) return 0;
  reach(known->second);
  return error_of(*state);
}

int device_of(cuda::Stream stream) {
  std::lock_guard lock(mutex);
  const StreamState* state = find(stream);
  return state ? state->device : -1;
}

}  // namespace noisewright::emulation
