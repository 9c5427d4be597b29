// How an op's host code (<op>_cuda.cpp) starts its kernels. Device thread of the CUDA device only.
#pragma once
#include <cstddef>
#include <cstdint>

namespace noisewright::cuda {

struct Size3 {
  int64_t x = 1, y = 1, z = 1;
};

// Starts the kernel on the device's stream and does not wait for it. Throws Error(kDevice), naming the kernel, when the
// driver refuses; what goes wrong while it runs is reported by the next read. arguments points to one pointer for each
// kernel argument.
void launch_packed(const char* kernel, Size3 grid, Size3 block, size_t shared_bytes, void** arguments);

// The arguments must have exactly the types the kernel declares: the driver copies their bytes. One Params struct is
// the custom.
template <class... Arguments>
void launch_kernel(const char* kernel, Size3 grid, Size3 block, size_t shared_bytes, const Arguments&... arguments) {
  void* packed[] = {const_cast<Arguments*>(&arguments)...};
  launch_packed(kernel, grid, block, shared_bytes, packed);
}

}  // namespace noisewright::cuda
