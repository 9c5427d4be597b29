#include "core/team.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif
#if defined(__linux__)
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace noisewright {

namespace {

constexpr int kNiceness = 5;
constexpr int kSpins = 4000;  // some 20 to 40 us: longer than the gap between two parallel sections of one operation

inline void pause_briefly() {
#if defined(__x86_64__)
  _mm_pause();
#endif
}

}  // namespace

void prepare_compute_thread() {
#if defined(__x86_64__)
  _mm_setcsr(_mm_getcsr() | 0x8040);
#endif
#if defined(__linux__)
  setpriority(PRIO_PROCESS, static_cast<id_t>(syscall(SYS_gettid)), kNiceness);
#endif
}

void Team::resize(int size) {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
    round_.fetch_add(1);
  }
  wake_.notify_all();
  for (auto& member : members_) member.join();
  members_.clear();
  stop_ = false;
  const uint64_t round = round_.load();
  for (int m = 1; m < size; m++) members_.emplace_back([this, m, round] { serve(m, round); });
}

void Team::serve(int member, uint64_t round) {
  prepare_compute_thread();
  for (;;) {
    for (int spin = 0; spin < kSpins && round_.load(std::memory_order_acquire) == round; spin++) pause_briefly();
    if (round_.load(std::memory_order_acquire) == round) {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [&] { return round_.load() != round; });
    }
    round = round_.load(std::memory_order_acquire);
    if (stop_) return;
    work(member);
    busy_.fetch_sub(1, std::memory_order_release);
  }
}

void Team::work(int member) {
  for (;;) {
    const int64_t task = next_.fetch_add(1, std::memory_order_relaxed);
    if (task >= tasks_) return;
    body_(context_, task, member);
  }
}

void Team::run(int64_t tasks, void (*body)(void*, int64_t, int), void* context) {
  if (members_.empty() || tasks <= 1) {
    for (int64_t task = 0; task < tasks; task++) body(context, task, 0);
    return;
  }
  tasks_ = tasks;
  body_ = body;
  context_ = context;
  next_.store(0, std::memory_order_relaxed);
  busy_.store(static_cast<int>(members_.size()), std::memory_order_relaxed);
  {
    std::lock_guard lock(mutex_);
    round_.fetch_add(1, std::memory_order_release);
  }
  wake_.notify_all();
  work(0);
  // A member that has no core of its own comes back only when this thread makes room.
  for (int spin = 0; busy_.load(std::memory_order_acquire) > 0; spin++)
    spin < kSpins ? pause_briefly() : std::this_thread::yield();
}

}  // namespace noisewright
