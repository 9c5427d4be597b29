// Device memory of the look-alike driver. It behaves as a GPU's does towards the host: it can be touched only by copies
// and by running kernels. Every buffer ends at a page that nothing may touch, so that a kernel that runs past its end
// is caught in the act.
#pragma once
#include <cstddef>

namespace noisewright::emulation {

void* allocate(size_t bytes, int device);  // filled with 0xFF (NaN); null when there is none
bool release(void* data);                  // false for what is not the start of a buffer
// Host memory that kernels of every device may touch too, by another address: while a kernel runs, the host's is
// closed, so that one which was handed the wrong address is caught. Null when there is none.
void* allocate_mapped(size_t bytes);
void* device_side(const void* host);  // null for what is not the start of such memory
bool release_mapped(void* host);
bool copy_in(void* to, const void* from, size_t bytes);  // false when [to, to + bytes) is not inside one buffer
bool copy_out(void* to, const void* from, size_t bytes);
bool copy_within(void* to, const void* from, size_t bytes);
size_t bytes_taken(int device);

// While it lives, this thread's kernels may touch all buffers of the device, and a touch outside them ends the launch
// with an error.
class KernelAccess {
 public:
  explicit KernelAccess(int device);
  ~KernelAccess();
  KernelAccess(const KernelAccess&) = delete;
};

}  // namespace noisewright::emulation
