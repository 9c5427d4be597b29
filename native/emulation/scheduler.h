// Runs CUDA threads on the CPU, for tests: a fiber for each thread of a block, all on the thread that launches. They
// take turns only where CUDA makes them wait, in an order that the test chooses, so a mistake gives the same wrong
// answer every time.
#pragma once
#include <cstddef>
#include <cstdint>
#include <source_location>
#include <stdexcept>
#include <string>
#include <vector>

struct dim3 {
  unsigned x = 1, y = 1, z = 1;
};
struct uint3 {
  unsigned x = 0, y = 0, z = 0;
};

namespace noisewright::emulation {

using Place = std::source_location;

struct KernelError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

enum class Order { kForward, kReverse, kRandom };
// "forward", "reverse" or "random:<seed>"; throws KernelError for anything else.
struct Schedule {
  Order order = Order::kForward;
  uint64_t seed = 0;
  static Schedule parse(const std::string& text);
};

// Runs call(arguments) once for every thread of the grid. Throws KernelError for what went wrong in the kernel; what is
// left of the launch is then abandoned, without destroying the locals of its threads.
using Call = void (*)(void** arguments);
void launch(Call call, dim3 grid, dim3 block, size_t shared_bytes, void** arguments, const Schedule& schedule);

// Ends the running launch with an error, from wherever a thread of it was interrupted. It must be called on a stack
// that is not that thread's (see memory.cpp).
[[noreturn]] void abandon_launch(const std::string& message);
bool launch_is_running();                  // on this thread
std::string running_thread();              // "thread 5 of block 2", for messages
bool is_stack_guard(const void* address);  // below a fiber's stack: it has overflowed
void* emergency_stack();                   // top of a stack for abandon_launch
void use_signal_stack();                   // makes this thread's signal handlers run on a stack of their own

// ---- What cuda_on_cpu.h builds the CUDA names from. Called by fibers.

struct Indices {
  uint3 thread, block;
  dim3 block_size, grid_size;
};
const uint3& thread_index();
const uint3& block_index();
const dim3& block_size();
const dim3& grid_size();
unsigned lane_index();

void barrier(Place place);

// One warp operation: every lane named in mask leaves up to 64 bytes and reads the others' once all have come. The
// slots returned stay valid until finish_exchange.
struct Slots {
  static constexpr size_t kSize = 64;
  const unsigned char* of(unsigned lane) const { return bytes + lane * kSize; }
  const unsigned char* bytes;
  void* group;
};
Slots exchange(uint32_t mask, const void* value, size_t bytes, Place place);
void finish_exchange(const Slots& slots);

unsigned new_shared_site();
void* shared_zone(unsigned site, const char* name, size_t bytes);
void* dynamic_shared();
bool is_shared(const void* address, size_t bytes);  // whether all of it is shared memory of the running block

// Copies `bytes` and makes `zeros` after them zero, when its group is waited for. Until then the destination is NaN.
void postpone_copy(void* to, const void* from, size_t bytes, size_t zeros = 0);
void commit_copies();
void wait_for_copies(size_t pending);

}  // namespace noisewright::emulation
