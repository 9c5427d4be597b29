// The functions that scheduler.h declares, on the scheduler of the calling thread.
#include <signal.h>

#include <cstdlib>
#include <cstring>
#include <utility>

#include "emulation/fibers.h"

namespace noisewright::emulation {

Schedule Schedule::parse(const std::string& text) {
  if (text.empty() || text == "forward") return {Order::kForward, 0};
  if (text == "reverse") return {Order::kReverse, 0};
  if (text.rfind("random:", 0) == 0) return {Order::kRandom, std::strtoull(text.c_str() + 7, nullptr, 10)};
  throw KernelError("the order of emulated threads is forward, reverse or random:<seed>, not " + text);
}

void launch(Call call, dim3 grid, dim3 block, size_t shared_bytes, void** arguments, const Schedule& schedule) {
  scheduler().launch(call, grid, block, shared_bytes, arguments, schedule);
}
void abandon_launch(const std::string& message) { scheduler().abandon(std::make_exception_ptr(KernelError(message))); }
bool launch_is_running() { return scheduler().running; }
std::string running_thread() { return scheduler().describe(*scheduler().current_); }
bool is_stack_guard(const void* address) { return scheduler().is_stack_guard(address); }
void use_signal_stack() {
  stack_t s{};
  s.ss_sp = scheduler().signal_stack_;
  s.ss_size = sizeof scheduler().signal_stack_;
  sigaltstack(&s, nullptr);
}
void* emergency_stack() { return scheduler().emergency_stack_ + sizeof scheduler().emergency_stack_; }

const uint3& thread_index() { return scheduler().current_->thread; }
const uint3& block_index() { return scheduler().indices.block; }
const dim3& block_size() { return scheduler().indices.block_size; }
const dim3& grid_size() { return scheduler().indices.grid_size; }
unsigned lane_index() { return scheduler().current_->index % 32; }

void barrier(Place place) { scheduler().barrier(place); }
Slots exchange(uint32_t mask, const void* value, size_t bytes, Place place) {
  return scheduler().exchange(mask, value, bytes, place);
}
void finish_exchange(const Slots& slots) { scheduler().finish_exchange(*static_cast<Group*>(slots.group)); }

unsigned new_shared_site() {
  static unsigned next = 0;
  return next++;
}
void* shared_zone(unsigned site, const char* name, size_t bytes) { return scheduler().shared_zone(site, name, bytes); }
void* dynamic_shared() { return scheduler().dynamic_shared(); }
bool is_shared(const void* address, size_t bytes) { return scheduler().is_shared(address, bytes); }

// Copies really happen in wait_for_copies, so that a forgotten wait reads what was there before.
void postpone_copy(void* to, const void* from, size_t bytes, size_t zeros) {
  auto& groups = scheduler().current_->copies;
  const size_t size = bytes + zeros;
  if (reinterpret_cast<uintptr_t>(to) % size || reinterpret_cast<uintptr_t>(from) % size)
    throw KernelError("an asynchronous copy of " + std::to_string(size) +
                      " bytes has an address not divisible by that, in " + running_thread());
  if (!is_shared(to, size))
    throw KernelError("an asynchronous copy ends outside of shared memory, in " + running_thread());
  std::memset(to, kUnwritten, size);
  if (groups.empty()) groups.emplace_back();
  groups.back().push_back({to, from, bytes, zeros});
}
void commit_copies() {
  auto& groups = scheduler().current_->copies;
  groups.resize(groups.empty() ? 2 : groups.size() + 1);
}
void wait_for_copies(size_t pending) {
  auto& groups = scheduler().current_->copies;
  while (groups.size() > pending + 1) {
    for (const Copy& copy : groups.front()) {
      if (copy.bytes) std::memcpy(copy.to, copy.from, copy.bytes);
      std::memset(static_cast<unsigned char*>(copy.to) + copy.bytes, 0, copy.zeros);
    }
    groups.erase(groups.begin());
  }
}

}  // namespace noisewright::emulation
