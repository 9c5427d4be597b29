#include "core/pool.h"

#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "core/check.h"

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace noisewright {

namespace {

constexpr size_t kAlignment = 64;
constexpr size_t kHugePage = size_t{2} << 20;
constexpr size_t kMapped = 2 * kHugePage;  // size classes from here on are whole pages
constexpr int64_t kCachedShare = 16;       // of the peak, that may be kept for reuse beyond it in whole pages
constexpr size_t kGuardBytes = 256;
constexpr unsigned char kGuardByte = 0xA5;

// Sixteen classes to each power of two: at most a sixteenth of a buffer is wasted, and nothing of sizes such as 5 *
// 2^n, which most tensors of Stable Diffusion have.
size_t size_class(size_t bytes) {
  if (bytes <= kAlignment) return kAlignment;
  size_t power = kAlignment;
  while (power * 2 < bytes) power *= 2;
  size_t step = power / 16 < kAlignment ? kAlignment : power / 16;
  return (bytes + step - 1) / step * step;
}

#if defined(__linux__)
// From the system, aligned for huge pages. malloc would keep much of what is given back to it, in pieces between
// others.
void* map_pages(size_t bytes) {
  const size_t reserved = bytes + kHugePage;
  void* start = mmap(nullptr, reserved, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (start == MAP_FAILED) return nullptr;
  const size_t before = (kHugePage - reinterpret_cast<uintptr_t>(start) % kHugePage) % kHugePage;
  char* data = static_cast<char*>(start) + before;
  if (before > 0) munmap(start, before);
  munmap(data + bytes, kHugePage - before);
  madvise(data, bytes, MADV_HUGEPAGE);
  return data;
}
#endif

struct HeapSource final : MemorySource {
  void* take(size_t bytes) override {
#if defined(__linux__)
    if (bytes >= kMapped) return map_pages(bytes);
#endif
    void* data = nullptr;
    return posix_memalign(&data, kAlignment, bytes) == 0 ? data : nullptr;
  }
  void give(void* data, size_t bytes) override {
#if defined(__linux__)
    if (bytes >= kMapped) {
      munmap(data, bytes);
      return;
    }
#endif
    std::free(data);
  }
};

}  // namespace

MemorySource* heap_source() {
  static HeapSource source;
  return &source;
}

// Of the size class, or of large ones a little above it, so that memory is not kept for each of several sizes.
void* Pool::take_free(std::map<size_t, std::vector<void*>>& lists, size_t& size, int64_t& counter) {
  const size_t most = size >= kMapped ? size + size / 8 : size;
  for (auto list = lists.lower_bound(size); list != lists.end() && list->first <= most; ++list) {
    if (list->second.empty()) continue;
    void* data = list->second.back();
    list->second.pop_back();
    size = list->first;
    counter -= static_cast<int64_t>(size);
    return data;
  }
  return nullptr;
}

void* Pool::take_fresh(size_t size) {
  const auto over = [&] {
    return limit_ > 0 &&
           counters_.live_bytes + counters_.cached_bytes + counters_.reserved_bytes + static_cast<int64_t>(size) >
               limit_;
  };
  if (over()) release_cached_locked();
  // What earlier work left in other sizes goes before it makes all much more than what is ever in use. Asking a GPU's
  // driver takes longer.
  const int64_t most = counters_.peak_bytes + counters_.peak_bytes / kCachedShare;
  const auto excess = [&] { return counters_.live_bytes + counters_.cached_bytes + static_cast<int64_t>(size) - most; };
  if (source_ == heap_source() && size >= kMapped) {
    for (auto list = free_.rbegin(); list != free_.rend() && list->first >= kMapped; ++list)
      for (; !list->second.empty() && excess() > 0; list->second.pop_back()) {
        source_->give(list->second.back(), list->first);
        counters_.cached_bytes -= static_cast<int64_t>(list->first);
      }
  }
  void* data = over() ? nullptr : source_->take(size);
  if (!data && !over()) {
    release_cached_locked();
    data = source_->take(size);
  }
  return data;
}

void* Pool::take_raw(size_t& size, const char* op) {
  void* data = arena_ ? take_free(arena_->free, size, counters_.reserved_bytes) : nullptr;
  if (!data) data = take_free(free_, size, counters_.cached_bytes);
  if (!data) data = take_fresh(size);
  if (!data)
    fail(ErrorKind::kOutOfMemory, op, "out of memory: needed ", size, " bytes with ", counters_.live_bytes, " in use",
         limit_ > 0 ? " and a limit of " + std::to_string(limit_) : std::string(), source_->room());
  return data;
}

void Pool::count_taken(size_t size) {
  counters_.live_bytes += static_cast<int64_t>(size);
  if (counters_.live_bytes > counters_.peak_bytes) counters_.peak_bytes = counters_.live_bytes;
}

void* Pool::take(size_t bytes, const char* op) {
  std::unique_lock lock(mutex_);
  if (guards_) return take_guarded(bytes, op);
  size_t size = size_class(bytes);
  void* data = nullptr;
  try {
    data = take_raw(size, op);
  } catch (const Error&) {
    if (arena_ || !release_reserve_) throw;
    lock.unlock();
    const bool released = release_reserve_();
    lock.lock();
    if (!released) throw;
    data = take_raw(size, op);
  }
  taken_[data] = {size, bytes, false, arena_};
  count_taken(size);
  return data;
}

void* Pool::take_guarded(size_t bytes, const char* op) {
  size_t size = size_class(bytes + 2 * kGuardBytes);
  auto* base = static_cast<unsigned char*>(take_raw(size, op));
  std::memset(base, kGuardByte, size);
  unsigned char* data = base + kGuardBytes;
  std::memset(data, 0xFF, bytes);
  taken_[data] = {size, bytes, true, nullptr};
  count_taken(size);
  return data;
}

void Pool::give(void* data) {
  if (!data) return;
  std::lock_guard lock(mutex_);
  const auto found = taken_.find(data);
  if (found == taken_.end()) return;
  const Block block = found->second;
  taken_.erase(found);
  counters_.live_bytes -= static_cast<int64_t>(block.bytes);
  if (block.guarded) {
    auto* base = static_cast<unsigned char*>(data) - kGuardBytes;
    bool intact = true;
    for (size_t i = 0; i < kGuardBytes; i++) intact &= base[i] == kGuardByte;
    for (size_t i = kGuardBytes + block.asked; i < block.bytes; i++) intact &= base[i] == kGuardByte;
    if (!intact) counters_.guard_violations++;
    source_->give(base, block.bytes);
    return;
  }
  (block.arena ? block.arena->free : free_)[block.bytes].push_back(data);
  (block.arena ? counters_.reserved_bytes : counters_.cached_bytes) += static_cast<int64_t>(block.bytes);
}

void Pool::use(Arena* arena) {
  std::lock_guard lock(mutex_);
  arena_ = arena;
}

void Pool::dissolve(Arena& arena) {
  std::lock_guard lock(mutex_);
  for (auto& [data, block] : taken_)
    if (block.arena == &arena) block.arena = nullptr;
  for (auto& [size, list] : arena.free) {
    const auto bytes = static_cast<int64_t>(size * list.size());
    counters_.reserved_bytes -= bytes;
    counters_.cached_bytes += bytes;
    free_[size].insert(free_[size].end(), list.begin(), list.end());
  }
  arena.free.clear();
}

void Pool::release_cached_locked() {
  for (auto& [size, list] : free_)
    for (void* data : list) source_->give(data, size);
  free_.clear();
  counters_.cached_bytes = 0;
}

void Pool::release_cached() {
  std::lock_guard lock(mutex_);
  release_cached_locked();
}

void Pool::set_limit(int64_t bytes) {
  std::lock_guard lock(mutex_);
  limit_ = bytes;
}

void Pool::set_guards(bool on) {
  std::lock_guard lock(mutex_);
  guards_ = on;
}

int64_t Pool::check_guards() {
  {
    std::lock_guard lock(mutex_);
    if (!guards_) return 0;
  }
  const int64_t before = counters().guard_violations;
  constexpr size_t kBytes = 100;
  auto* first = static_cast<unsigned char*>(take(kBytes, "checkGuards"));
  first[kBytes] ^= 1;  // inside the guard, which this buffer owns
  give(first);
  auto* second = static_cast<unsigned char*>(take(kBytes, "checkGuards"));
  second[-1] ^= 1;
  give(second);
  std::lock_guard lock(mutex_);
  const int64_t found = counters_.guard_violations - before;
  counters_.guard_violations -= found;
  return found;
}

MemoryCounters Pool::counters() {
  std::lock_guard lock(mutex_);
  MemoryCounters counters = counters_;
  counters.live_buffers = live_buffers_.load(std::memory_order_relaxed);
  return counters;
}

void Pool::reset_peak() {
  std::lock_guard lock(mutex_);
  counters_.peak_bytes = counters_.live_bytes;
}

}  // namespace noisewright
