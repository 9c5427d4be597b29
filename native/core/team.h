// A small team of threads. The calling thread is member 0; the others wait, briefly spinning and then asleep.
#pragma once
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>
#include <vector>

namespace noisewright {

class Team {
 public:
  ~Team() { resize(1); }
  void resize(int size);  // only between runs, by the thread that calls run
  int size() const { return static_cast<int>(members_.size()) + 1; }
  void run(int64_t tasks, void (*body)(void*, int64_t, int), void* context);

 private:
  void serve(int member, uint64_t round);
  void work(int member);

  std::vector<std::thread> members_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::atomic<uint64_t> round_{0};
  std::atomic<int64_t> next_{0};
  std::atomic<int> busy_{0};
  int64_t tasks_ = 0;
  void (*body_)(void*, int64_t, int) = nullptr;
  void* context_ = nullptr;
  bool stop_ = false;
};

// What every thread that computes does first: denormal numbers count as zero, and the thread yields to those of the
// host program, whose event loop must turn while all cores compute.
void prepare_compute_thread();

}  // namespace noisewright
