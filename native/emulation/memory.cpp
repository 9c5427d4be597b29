#include "emulation/memory.h"

#include <signal.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <map>
#include <mutex>
#include <set>
#include <string>

#include "emulation/fibers.h"

namespace noisewright::emulation {

namespace {

constexpr size_t kPage = 4096;
constexpr int kAnyDevice = -1;

struct Buffer {
  size_t bytes;
  unsigned char* pages;  // the mapping: one page, the buffer's pages, one page
  size_t page_bytes;     // without the two
  int device;            // kAnyDevice: mapped host memory
  Buffer* next_open = nullptr;
  bool open = false;              // to the kernel that runs
  unsigned char* host = nullptr;  // of mapped memory: the same pages by the host's address

  void allow(int protection) const { mprotect(pages + kPage, page_bytes, protection); }
};

std::mutex mutex;
std::map<uintptr_t, Buffer>& buffers() {
  static auto* map = new std::map<uintptr_t, Buffer>();
  return *map;
}

// Those of `buffers` that are mapped host memory: every kernel shuts them, and there are few.
std::set<Buffer*>& mapped_buffers() {
  static auto* set = new std::set<Buffer*>();
  return *set;
}

Buffer* buffer_with(const void* data, size_t bytes) {
  const auto at = reinterpret_cast<uintptr_t>(data);
  auto after = buffers().upper_bound(at);
  if (after == buffers().begin()) return nullptr;
  auto& [start, buffer] = *--after;
  return at - start <= buffer.bytes && bytes <= buffer.bytes - (at - start) ? &buffer : nullptr;
}

size_t whole_pages(size_t bytes) { return (bytes + kPage - 1) / kPage * kPage; }

// Address space for a buffer between two pages that nothing may touch.
bool fence(Buffer& b) {
  void* pages = mmap(nullptr, b.page_bytes + 2 * kPage, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (pages == MAP_FAILED) return false;
  b.pages = static_cast<unsigned char*>(pages);
  return true;
}

// The end of the buffer meets the page behind it as closely as 16-byte alignment allows.
size_t offset_of(const Buffer& b) { return b.page_bytes - (b.bytes + 15) / 16 * 16; }

void* enter(const Buffer& b) {
  b.allow(PROT_READ | PROT_WRITE);
  std::memset(b.pages + kPage, 0xFF, b.page_bytes);
  b.allow(PROT_NONE);
  unsigned char* data = b.pages + kPage + offset_of(b);
  Buffer& entered = buffers()[reinterpret_cast<uintptr_t>(data)] = b;
  if (b.host) mapped_buffers().insert(&entered);
  return data;
}

auto mapped_at(const void* host) {
  auto& all = buffers();
  return std::find_if(all.begin(), all.end(), [&](const auto& each) {
    const Buffer& b = each.second;
    return b.host && b.host + offset_of(b) == host;
  });
}

void allow_host_sides(int protection) {
  for (const Buffer* buffer : mapped_buffers()) mprotect(buffer->host, buffer->page_bytes, protection);
}

// ---- Faults while a kernel runs

struct sigaction previous_action;
const void* fault_address;
int running_device;
Buffer* first_open;  // a list of the buffers that the running kernel has touched

std::string explain(const void* address) {
  if (is_stack_guard(address)) return running_thread() + " used more than its 64 KiB of stack";
  const auto at = reinterpret_cast<uintptr_t>(address);
  std::string where = "an address that belongs to no buffer";
  for (const auto& [start, buffer] : buffers())
    if (buffer.host && at - reinterpret_cast<uintptr_t>(buffer.host) < buffer.page_bytes)
      where = "mapped host memory by the host's address";
  if (at < kPage) where = "a null pointer";
  for (const auto& [start, buffer] : buffers()) {
    if (at >= start && at < start + buffer.bytes) where = "a buffer of another GPU";
    if (at >= start + buffer.bytes && at < start + buffer.bytes + kPage)
      where = std::to_string(at - start - buffer.bytes) + " bytes past the end of a buffer of " +
              std::to_string(buffer.bytes);
    if (at < start && at >= start - kPage)
      where = std::to_string(start - at) + " bytes before a buffer of " + std::to_string(buffer.bytes);
  }
  return "out of bounds: " + running_thread() + " touched " + where;
}

[[noreturn]] void leave_kernel() {
  scheduler().use_emergency_stack();
  abandon_launch(explain(fault_address));
}

// A kernel's first touch of a buffer opens it. For any other address the faulting thread goes on in leave_kernel, on a
// stack of its own: the kernel's may be what overflowed.
void on_fault(int signal, siginfo_t* info, void* context) {
  if (!launch_is_running()) {
    if (previous_action.sa_flags & SA_SIGINFO) return previous_action.sa_sigaction(signal, info, context);
    sigaction(signal, &previous_action, nullptr);
    return;  // the instruction faults again and meets the previous handler
  }
  Buffer* buffer = buffer_with(info->si_addr, 1);
  if (buffer && !buffer->open && (buffer->device == running_device || buffer->device == kAnyDevice)) {
    buffer->open = true;
    buffer->next_open = first_open;
    first_open = buffer;
    return buffer->allow(PROT_READ | PROT_WRITE);
  }
  fault_address = info->si_addr;
  auto* registers = static_cast<ucontext_t*>(context)->uc_mcontext.gregs;
  registers[REG_RIP] = reinterpret_cast<greg_t>(&leave_kernel);
  registers[REG_RSP] = reinterpret_cast<greg_t>(emergency_stack()) - 8;
}

}  // namespace

void* allocate(size_t bytes, int device) {
  std::lock_guard lock(mutex);
  Buffer b{bytes, nullptr, whole_pages(bytes), device};
  return fence(b) ? enter(b) : nullptr;
}

void* allocate_mapped(size_t bytes) {
  std::lock_guard lock(mutex);
  Buffer b{bytes, nullptr, whole_pages(bytes), kAnyDevice};
  const int file = memfd_create("mapped", 0);
  void* host = MAP_FAILED;
  if (file >= 0 && ftruncate(file, static_cast<off_t>(b.page_bytes)) == 0 && fence(b) &&
      mmap(b.pages + kPage, b.page_bytes, PROT_NONE, MAP_SHARED | MAP_FIXED, file, 0) != MAP_FAILED)
    host = mmap(nullptr, b.page_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  if (file >= 0) close(file);
  if (host == MAP_FAILED) return nullptr;
  b.host = static_cast<unsigned char*>(host);
  enter(b);
  return b.host + offset_of(b);
}

void* device_side(const void* host) {
  std::lock_guard lock(mutex);
  const auto found = mapped_at(host);
  return found == buffers().end() ? nullptr : reinterpret_cast<void*>(found->first);
}

bool release_mapped(void* host) {
  std::lock_guard lock(mutex);
  const auto found = mapped_at(host);
  if (found == buffers().end()) return false;
  mapped_buffers().erase(&found->second);
  munmap(found->second.host, found->second.page_bytes);
  munmap(found->second.pages, found->second.page_bytes + 2 * kPage);
  buffers().erase(found);
  return true;
}

bool release(void* data) {
  std::lock_guard lock(mutex);
  const auto found = buffers().find(reinterpret_cast<uintptr_t>(data));
  if (found == buffers().end()) return false;
  munmap(found->second.pages, found->second.page_bytes + 2 * kPage);
  buffers().erase(found);
  return true;
}

bool copy_in(void* to, const void* from, size_t bytes) {
  std::lock_guard lock(mutex);
  const Buffer* buffer = buffer_with(to, bytes);
  if (!buffer) return false;
  buffer->allow(PROT_READ | PROT_WRITE);
  std::memcpy(to, from, bytes);
  buffer->allow(PROT_NONE);
  return true;
}

bool copy_out(void* to, const void* from, size_t bytes) {
  std::lock_guard lock(mutex);
  const Buffer* buffer = buffer_with(from, bytes);
  if (!buffer) return false;
  buffer->allow(PROT_READ);
  std::memcpy(to, from, bytes);
  buffer->allow(PROT_NONE);
  return true;
}

bool copy_within(void* to, const void* from, size_t bytes) {
  std::lock_guard lock(mutex);
  const Buffer *target = buffer_with(to, bytes), *source = buffer_with(from, bytes);
  if (!target || !source) return false;
  target->allow(PROT_READ | PROT_WRITE);
  source->allow(PROT_READ | PROT_WRITE);
  std::memmove(to, from, bytes);
  target->allow(PROT_NONE);
  source->allow(PROT_NONE);
  return true;
}

size_t bytes_taken(int device) {
  std::lock_guard lock(mutex);
  size_t bytes = 0;
  for (const auto& [start, buffer] : buffers())
    if (buffer.device == device) bytes += buffer.bytes;
  return bytes;
}

KernelAccess::KernelAccess(int device) {
  mutex.lock();
  running_device = device;
  allow_host_sides(PROT_NONE);
  use_signal_stack();
  struct sigaction action{};
  action.sa_sigaction = &on_fault;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  sigaction(SIGSEGV, &action, &previous_action);
}

KernelAccess::~KernelAccess() {
  sigaction(SIGSEGV, &previous_action, nullptr);
  for (; first_open; first_open = first_open->next_open) {
    first_open->allow(PROT_NONE);
    first_open->open = false;
  }
  allow_host_sides(PROT_READ | PROT_WRITE);
  mutex.unlock();
}

}  // namespace noisewright::emulation
