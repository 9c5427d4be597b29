// The emulation's state: fibers, warp operations and shared memory of the block that runs.
#pragma once
#include <deque>
#include <exception>
#include <memory>
#include <vector>

#include "emulation/sanitizer.h"
#include "emulation/scheduler.h"

namespace noisewright::emulation {

constexpr size_t kStackBytes = 64 << 10;
constexpr size_t kPageBytes = 4096;
constexpr unsigned kMaxThreads = 1024;
constexpr size_t kStaticBytes = 48 << 10;    // what ptxas allows
constexpr size_t kDynamicBytes = 227 << 10;  // what the largest GPUs allow
constexpr size_t kRedZone = 128;             // unused bytes round every shared array
constexpr unsigned char kUnwritten = 0xFF;   // as floats: NaN

enum class Waiting { kNothing, kBarrier, kWarp };

struct Copy {
  void* to;
  const void* from;
  size_t bytes, zeros;  // zeros: bytes after those copied
};

struct Fiber {
  void* stack_pointer;
  uint3 thread;
  unsigned index;  // in the block
  Waiting waiting;
  bool ended;
  Place place;                            // where it waits
  std::vector<std::vector<Copy>> copies;  // committed groups, oldest first, and the open one
};

// One warp operation that lanes are arriving at, or whose results they are reading.
struct Group {
  uint32_t mask = 0;
  uint32_t arrived = 0;
  uint32_t unread = 0;  // lanes that have yet to read; the group is free again when there are none
  Place place;
  alignas(16) unsigned char slots[32 * Slots::kSize];
};

struct SharedZone {
  const char* name = nullptr;
  size_t offset = 0, bytes = 0;
  bool used = false;
};

// The scheduler of one OS thread: it owns the stacks and runs one block after the other.
class Scheduler {
 public:
  Scheduler();

  void launch(Call call, dim3 grid, dim3 block, size_t shared_bytes, void** arguments, const Schedule& schedule);

  void barrier(const Place& place);
  Slots exchange(uint32_t mask, const void* value, size_t bytes, const Place& place);
  void finish_exchange(Group& group) { group.unread &= ~(1u << lane(*current_)); }
  void* shared_zone(unsigned site, const char* name, size_t bytes);
  void* dynamic_shared() { return shared_ + kStaticBytes + kRedZone; }
  bool is_shared(const void* address, size_t bytes) const {
    const auto* p = static_cast<const unsigned char*>(address);
    const auto inside = [&](const unsigned char* begin, size_t size) {
      return p >= begin && p + bytes <= begin + size;
    };
    return inside(shared_ + kRedZone, static_used_) || inside(shared_ + kStaticBytes + kRedZone, dynamic_used_);
  }

  [[noreturn]] void fiber_main();
  [[noreturn]] void abandon(std::exception_ptr error);
  void use_emergency_stack() const {  // where a fault has led, whatever AddressSanitizer believes
    before_switch(nullptr, {emergency_stack_, sizeof emergency_stack_});
    after_switch(nullptr);
  }
  bool is_stack_guard(const void* address) const;
  std::string describe(const Fiber& fiber) const;

  bool running = false;
  Indices indices;
  Fiber* current_ = nullptr;
  alignas(64) unsigned char emergency_stack_[32 << 10];
  alignas(64) unsigned char signal_stack_[64 << 10];

 private:
  static unsigned lane(const Fiber& fiber) { return fiber.index % 32; }
  void run_block();
  void go_on(Fiber* to, void** save);
  StackBounds stack_of(const Fiber& fiber) const {
    return {stacks_ + fiber.index * kStackBytes + kPageBytes, kStackBytes - kPageBytes};
  }
  void wait(Waiting what, const Place& place);
  void wake(Fiber& fiber);
  Fiber* next_ready();
  void release_barrier_if_complete();
  void check_deadlock() const;
  void check_red_zones() const;
  void check_mask_alive(const Group& group) const;
  Fiber& fiber_of(unsigned warp, unsigned lane) { return fibers_[warp * 32 + lane]; }
  uint64_t random();
  std::vector<unsigned> order_of(size_t count);

  unsigned char* stacks_;
  void* home_ = nullptr;
  const StackBounds home_stack_ = stack_of_this_thread();
  std::unique_ptr<Fiber[]> fibers_{new Fiber[kMaxThreads]};
  unsigned count_ = 0;  // threads of the block
  unsigned ended_ = 0;
  unsigned arrived_ = 0;  // at the barrier
  Place barrier_place_;
  std::vector<Fiber*> ready_;  // a ring; a fiber stands in it at most once
  size_t ready_head_ = 0, ready_count_ = 0;
  std::deque<Group> groups_[kMaxThreads / 32];  // of each warp
  std::vector<SharedZone> zones_;               // by site
  size_t static_used_ = 0, dynamic_used_ = 0;
  alignas(64) unsigned char shared_[kStaticBytes + kDynamicBytes + 3 * kRedZone];
  Call call_ = nullptr;
  void** arguments_ = nullptr;
  std::exception_ptr error_;
  Schedule schedule_;
  uint64_t random_state_ = 1;
};

// One for each OS thread that launches, for as long as the process lives.
Scheduler& scheduler();

}  // namespace noisewright::emulation
