#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "emulation/fibers.h"

namespace noisewright::emulation {

namespace {

std::string text(const Place& place) {
  const char* file = place.file_name();
  if (const char* slash = std::strrchr(file, '/')) file = slash + 1;
  return std::string(file) + ":" + std::to_string(place.line()) + ":" + std::to_string(place.column());
}

bool same(const Place& a, const Place& b) {
  if (a.line() != b.line() || a.column() != b.column()) return false;
  return a.file_name() == b.file_name() || std::strcmp(a.file_name(), b.file_name()) == 0;
}

}  // namespace

Scheduler& scheduler() {
  thread_local Scheduler* mine __attribute__((tls_model("initial-exec"))) = nullptr;
  if (!mine) mine = new Scheduler();
  return *mine;
}

// Saves what a function call must preserve, changes stacks, restores. A fiber's first entry finds the address of
// enter_fiber where the return address will be looked for, over six dummy registers.
extern "C" void noisewright_switch_stacks(void** save, void* load);
asm(R"(
.text
.type noisewright_switch_stacks, @function
noisewright_switch_stacks:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size noisewright_switch_stacks, . - noisewright_switch_stacks
)");

[[noreturn]] static void enter_fiber() { scheduler().fiber_main(); }

Scheduler::Scheduler() {
  void* memory = mmap(nullptr, kMaxThreads * kStackBytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) throw KernelError("no address space for the stacks of the emulated threads");
  stacks_ = static_cast<unsigned char*>(memory);
  for (unsigned i = 0; i < kMaxThreads; i++) mprotect(stacks_ + i * kStackBytes, kPageBytes, PROT_NONE);
  ready_.resize(kMaxThreads);
  std::memset(shared_, kUnwritten, sizeof shared_);
}

bool Scheduler::is_stack_guard(const void* address) const {
  const auto* p = static_cast<const unsigned char*>(address);
  if (p < stacks_ || p >= stacks_ + kMaxThreads * kStackBytes) return false;
  return static_cast<size_t>(p - stacks_) % kStackBytes < kPageBytes;
}

uint64_t Scheduler::random() {  // xorshift64*
  random_state_ ^= random_state_ >> 12;
  random_state_ ^= random_state_ << 25;
  random_state_ ^= random_state_ >> 27;
  return random_state_ * 0x2545F4914F6CDD1Dull >> 32;
}

std::vector<unsigned> Scheduler::order_of(size_t count) {
  std::vector<unsigned> order(count);
  for (size_t i = 0; i < count; i++) order[i] = static_cast<unsigned>(i);
  if (schedule_.order == Order::kReverse) std::reverse(order.begin(), order.end());
  if (schedule_.order == Order::kRandom)
    for (size_t i = count; i > 1; i--) std::swap(order[i - 1], order[random() % i]);
  return order;
}

void Scheduler::launch(Call call, dim3 grid, dim3 block, size_t shared_bytes, void** arguments,
                       const Schedule& schedule) {
  if (running) throw KernelError("a kernel cannot launch another one here");
  const size_t threads = size_t{block.x} * block.y * block.z;
  if (threads == 0 || threads > kMaxThreads || block.z > 64)
    throw KernelError("a block has 1 to 1024 threads and at most 64 in z, not " + std::to_string(threads));
  if (shared_bytes > kDynamicBytes)
    throw KernelError("a block has at most 227 KiB of shared memory, not " + std::to_string(shared_bytes));
  schedule_ = schedule;
  random_state_ = schedule.seed * 2 + 1;
  call_ = call;
  arguments_ = arguments;
  indices.grid_size = grid;
  indices.block_size = block;
  count_ = static_cast<unsigned>(threads);
  dynamic_used_ = shared_bytes;
  error_ = nullptr;
  running = true;
  for (const unsigned b : order_of(size_t{grid.x} * grid.y * grid.z)) {
    indices.block = {b % grid.x, b / grid.x % grid.y, b / grid.x / grid.y};
    run_block();
    if (error_) break;
  }
  running = false;
  current_ = nullptr;
  if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
}

void Scheduler::run_block() {
  std::memset(shared_, kUnwritten, kRedZone + static_used_);
  std::memset(shared_ + kStaticBytes, kUnwritten, kRedZone + dynamic_used_ + kRedZone);
  for (auto& zone : zones_) zone.used = false;
  static_used_ = kRedZone;
  for (auto& warp : groups_)
    for (Group& group : warp) group.arrived = group.unread = 0;
  ended_ = arrived_ = 0;
  ready_head_ = ready_count_ = 0;
  forget_frames({emergency_stack_, sizeof emergency_stack_});
  for (const unsigned i : order_of(count_)) {
    Fiber& f = fibers_[i];
    const dim3 size = indices.block_size;
    f.thread = {i % size.x, i / size.x % size.y, i / size.x / size.y};
    f.index = i;
    f.waiting = Waiting::kNothing;
    f.ended = false;
    f.copies.clear();
    forget_frames(stack_of(f));
    // Tops are staggered by a few cache lines, so that all stacks do not meet in the same cache sets.
    auto* top = reinterpret_cast<void**>(stacks_ + (i + 1) * kStackBytes - i % 16 * 128);
    *--top = nullptr;
    *--top = reinterpret_cast<void*>(&enter_fiber);
    for (int r = 0; r < 6; r++) *--top = nullptr;
    f.stack_pointer = top;
    ready_[ready_count_++] = &f;
  }
  current_ = next_ready();
  go_on(current_, &home_);
  if (error_) return;
  try {
    check_deadlock();
    check_red_zones();
  } catch (...) {
    error_ = std::current_exception();
  }
}

// Continues a fiber or, for null, run_block. Returns when something continues what calls it, which `save` then finds;
// null: nothing will.
void Scheduler::go_on(Fiber* to, void** save) {
  void *state = nullptr, *never_used;
  before_switch(save ? &state : nullptr, to ? stack_of(*to) : home_stack_);
  noisewright_switch_stacks(save ? save : &never_used, to ? to->stack_pointer : home_);
  after_switch(state);
}

void Scheduler::fiber_main() {
  after_switch(nullptr);
  std::exception_ptr error;
  try {
    call_(arguments_);
    if (!current_->copies.empty() && !current_->copies.back().empty())
      throw KernelError(describe(*current_) + " ended with asynchronous copies that it never committed");
    current_->ended = true;
    ended_++;
    for (const Group& group : groups_[current_->index / 32])
      if (group.arrived && !group.unread) check_mask_alive(group);
    release_barrier_if_complete();
  } catch (...) {
    error = std::current_exception();
  }
  if (error) abandon(std::move(error));
  current_ = next_ready();
  go_on(current_, nullptr);
  __builtin_unreachable();
}

void Scheduler::abandon(std::exception_ptr error) {
  error_ = std::move(error);
  go_on(nullptr, nullptr);
  __builtin_unreachable();
}

// ---- The queue of fibers that can go on

Fiber* Scheduler::next_ready() {
  if (ready_count_ == 0) return nullptr;
  if (schedule_.order == Order::kRandom)
    std::swap(ready_[ready_head_], ready_[(ready_head_ + random() % ready_count_) % kMaxThreads]);
  Fiber* fiber = ready_[ready_head_];
  ready_head_ = (ready_head_ + 1) % kMaxThreads;
  ready_count_--;
  return fiber;
}

void Scheduler::wake(Fiber& fiber) {
  fiber.waiting = Waiting::kNothing;
  ready_[(ready_head_ + ready_count_++) % kMaxThreads] = &fiber;
}

void Scheduler::wait(Waiting what, const Place& place) {
  Fiber& me = *current_;
  me.waiting = what;
  me.place = place;
  current_ = next_ready();
  if (current_ == &me) return;
  go_on(current_, &me.stack_pointer);
}

void Scheduler::check_deadlock() const {
  if (ended_ == count_) return;
  std::string first;
  for (unsigned i = 0; i < count_ && first.empty(); i++) {
    const Fiber& f = fibers_[i];
    if (!f.ended)
      first = describe(f) + " in a " + (f.waiting == Waiting::kBarrier ? "barrier" : "warp operation") + " at " +
              text(f.place);
  }
  throw KernelError("deadlock: " + std::to_string(count_ - ended_) + " of " + std::to_string(count_) +
                    " threads wait; " + first);
}

std::string Scheduler::describe(const Fiber& fiber) const {
  const auto triple = [](uint3 i, dim3 size) {
    std::string s = std::to_string(i.x);
    if (size.y > 1 || size.z > 1) s = "(" + s + ", " + std::to_string(i.y) + ", " + std::to_string(i.z) + ")";
    return s;
  };
  return "thread " + triple(fiber.thread, indices.block_size) + " of block " + triple(indices.block, indices.grid_size);
}

// ---- Barriers

void Scheduler::release_barrier_if_complete() {
  if (arrived_ == 0 || arrived_ + ended_ < count_) return;
  arrived_ = 0;
  for (const unsigned i : order_of(count_))
    if (fibers_[i].waiting == Waiting::kBarrier) wake(fibers_[i]);
}

void Scheduler::barrier(const Place& place) {
  if (arrived_ == 0) {
    barrier_place_ = place;
  } else if (!same(place, barrier_place_)) {
    throw KernelError("a barrier was reached at " + text(barrier_place_) + " by some threads and at " + text(place) +
                      " by " + describe(*current_));
  }
  arrived_++;
  current_->waiting = Waiting::kBarrier;
  release_barrier_if_complete();
  wait(current_->waiting, place);
}

// ---- Warp operations

void Scheduler::check_mask_alive(const Group& group) const {
  for (unsigned l = 0; l < 32; l++) {
    if (!(group.mask >> l & 1) || group.arrived >> l & 1) continue;
    const unsigned index = current_->index / 32 * 32 + l;
    if (index >= count_ || fibers_[index].ended)
      throw KernelError("the warp operation at " + text(group.place) + " names lane " + std::to_string(l) +
                        " in its mask, which " + (index >= count_ ? "does not exist" : "has ended"));
  }
}

Slots Scheduler::exchange(uint32_t mask, const void* value, size_t bytes, const Place& place) {
  const unsigned me = lane(*current_), warp = current_->index / 32;
  if (!(mask >> me & 1))
    throw KernelError(describe(*current_) + " is not in the mask of its warp operation at " + text(place));
  // Two groups of one mask can exist: one being read, and one that faster lanes have begun to gather for.
  Group* group = nullptr;
  for (Group& g : groups_[warp])
    if (g.arrived && !g.unread && g.mask == mask) group = &g;
  if (!group) {
    for (Group& g : groups_[warp])
      if (!g.arrived && !g.unread) group = &g;
    if (!group) group = &groups_[warp].emplace_back();
    group->mask = mask;
    group->arrived = 0;
    group->place = place;
  } else if (!same(place, group->place)) {
    throw KernelError("a warp operation was reached at " + text(group->place) + " by some lanes and at " + text(place) +
                      " by " + describe(*current_));
  }
  std::memcpy(group->slots + me * Slots::kSize, value, bytes);
  const bool first = group->arrived == 0;
  group->arrived |= 1u << me;
  if (first) check_mask_alive(*group);  // lanes that end later check for themselves
  if (group->arrived == mask) {
    group->arrived = 0;
    group->unread = mask;
    for (unsigned l = 0; l < 32; l++)
      if (l != me && mask >> l & 1) wake(fiber_of(warp, l));
    if (schedule_.order != Order::kForward) {  // let the others go first
      wake(*current_);
      wait(Waiting::kNothing, place);
    }
  } else {
    wait(Waiting::kWarp, place);
  }
  return {group->slots, group};
}

// ---- Shared memory

void* Scheduler::shared_zone(unsigned site, const char* name, size_t bytes) {
  if (site >= zones_.size()) zones_.resize(site + 1);
  SharedZone& zone = zones_[site];
  if (!zone.used) {
    zone = {name, static_used_, bytes, true};
    static_used_ += (bytes + 15) / 16 * 16 + kRedZone;
    if (static_used_ > kStaticBytes) throw KernelError("a block's static shared memory is larger than 48 KiB");
  }
  return shared_ + zone.offset;
}

void Scheduler::check_red_zones() const {
  const auto check = [&](size_t from, size_t count, const std::string& what) {
    for (size_t i = 0; i < count; i++)
      if (shared_[from + i] != kUnwritten)
        throw KernelError("block " + std::to_string(indices.block.x) + " wrote outside " + what);
  };
  check(0, kRedZone, "its static shared memory");
  for (const SharedZone& zone : zones_)
    if (zone.used) check(zone.offset + zone.bytes, kRedZone, std::string("the shared array ") + zone.name);
  check(kStaticBytes, kRedZone, "its dynamic shared memory");
  check(kStaticBytes + kRedZone + dynamic_used_, kRedZone, "its dynamic shared memory");
}

}  // namespace noisewright::emulation
