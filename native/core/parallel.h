// Data parallelism inside a kernel. Tasks are handed out by a counter, so which thread runs a task varies; a task must
// therefore write only its own outputs, in a fixed order of operations. That is what makes results independent of the
// thread count.
#pragma once
#include <cstdint>
#include <type_traits>

namespace noisewright {

constexpr int kMaxThreads = 64;

// Runs body(context, task, thread) for every task in [0, tasks) on the team of the calling device thread and waits for
// all. thread is in [0, thread_count()). Must not be nested. Called off a device thread it runs the tasks in order on
// the caller.
void parallel_run(int64_t tasks, void (*body)(void* context, int64_t task, int thread), void* context);

// Threads of the team that would run a parallel_for started here, at most kMaxThreads.
int thread_count();

// Scratch memory of the running operation, from the device's pool, 64-byte aligned, uninitialised. Throws when memory
// is short. Only the thread that runs the operation may ask; tasks use slices of what was asked for before.
void* scratch_take(uint64_t bytes);
void scratch_give(void* data);

namespace {  // internal linkage: each target compiles its own copy, none may be shared between instruction sets

template <class Body>
inline void parallel_for(int64_t tasks, Body&& body) {
  using B = std::remove_reference_t<Body>;
  parallel_run(
      tasks,
      [](void* context, int64_t task, int thread) {
        if constexpr (std::is_invocable_v<B&, int64_t, int>)
          (*static_cast<B*>(context))(task, thread);
        else
          (*static_cast<B*>(context))(task);
      },
      const_cast<void*>(static_cast<const void*>(&body)));
}

// parallel_for over [0, count) in chunks of a fixed size: body(begin, end).
template <class Body>
inline void parallel_chunks(int64_t count, int64_t chunk, Body&& body) {
  parallel_for((count + chunk - 1) / chunk, [&](int64_t task) {
    const int64_t begin = task * chunk;
    body(begin, begin + chunk < count ? begin + chunk : count);
  });
}

template <class T>
struct Scratch {
  explicit Scratch(int64_t count) : data(static_cast<T*>(scratch_take(static_cast<uint64_t>(count) * sizeof(T)))) {}
  ~Scratch() { scratch_give(data); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  T& operator[](int64_t i) const { return data[i]; }
  T* data;
};

}  // namespace

}  // namespace noisewright
