// Caching memory pool of one device. Memory comes from the backing allocator in size classes and goes back to a free
// list, so pages stay warm: on a CPU, faulting fresh pages in costs more than many kernels.
#pragma once
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <vector>

namespace noisewright {

struct MemoryCounters {
  int64_t live_buffers = 0;      // storages that exist, whether their memory has been taken yet or not
  int64_t live_bytes = 0;        // bytes in use by storages and scratch
  int64_t peak_bytes = 0;        // highest live_bytes since the last reset
  int64_t cached_bytes = 0;      // bytes kept in free lists
  int64_t reserved_bytes = 0;    // bytes of arenas that nobody has taken; neither live nor cached
  int64_t guard_violations = 0;  // writes outside a buffer, found in guard mode
};

// Where a pool's memory comes from: the heap, or a GPU driver.
struct MemorySource {
  virtual ~MemorySource() = default;
  virtual void* take(size_t bytes) = 0;  // null when there is none
  virtual void give(void* data, size_t bytes) = 0;
  virtual std::string room() { return ""; }  // what is left, as the end of a sentence about memory that ran out
};

MemorySource* heap_source();

class Pool {
 public:
  explicit Pool(MemorySource* source) : source_(source) {}
  void* take(size_t bytes, const char* op);  // throws Error(kOutOfMemory)
  void give(void* data);
  void release_cached();
  void set_limit(int64_t bytes);  // of live plus cached bytes; 0 = none
  // Guard mode puts a pattern around every buffer and checks it when the buffer comes back, and fills fresh buffers
  // with NaN. Heap memory only; for tests. Buffers taken before the switch keep their old form.
  void set_guards(bool on);
  // Writes behind the end of one buffer of its own and before the start of another: 2 in guard mode, 0 outside it. What
  // it finds is not counted.
  int64_t check_guards();
  // Memory that stays in its place. What is taken while an arena is in use returns to that arena and goes to nobody
  // else until the arena is dissolved, when it becomes the pool's. `use` changes where `take` looks; called, as `take`
  // is, by the device's thread.
  struct Arena {
    std::map<size_t, std::vector<void*>> free;
  };
  void use(Arena* arena);  // null: none
  void dissolve(Arena& arena);
  // Asked when there is no memory left, outside of an arena: dissolves arenas and answers whether it did.
  void set_reserve(std::function<bool()> release) { release_reserve_ = std::move(release); }
  void count_buffer(int64_t change) { live_buffers_.fetch_add(change, std::memory_order_relaxed); }
  MemoryCounters counters();
  void reset_peak();

 private:
  struct Block {
    size_t bytes;  // of the size class, guards included
    size_t asked;  // what the caller may use
    bool guarded;
    Arena* arena;
  };
  void* take_guarded(size_t bytes, const char* op);
  // Both say in `size` what they took, which may be more.
  void* take_raw(size_t& size, const char* op);
  void* take_free(std::map<size_t, std::vector<void*>>& lists, size_t& size, int64_t& counter);
  void* take_fresh(size_t size);
  void count_taken(size_t size);
  void release_cached_locked();

  std::mutex mutex_;
  MemorySource* source_;
  std::map<size_t, std::vector<void*>> free_;
  std::map<void*, Block> taken_;
  MemoryCounters counters_;
  std::atomic<int64_t> live_buffers_{0};  // apart from the others: making a storage must not wait for the lock
  int64_t limit_ = 0;
  bool guards_ = false;
  Arena* arena_ = nullptr;
  std::function<bool()> release_reserve_;
};

}  // namespace noisewright
