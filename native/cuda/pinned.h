// Host memory that the kernels of a GPU read and write over the bus: for states of optimizers, which a step touches
// once.
#pragma once
#include "cuda/failure.h"

namespace noisewright::cuda {

// Why the kernels reach over the bus, and no copies bring the states to the GPU and back. A step reads and writes s
// bytes of states for each parameter: 2.03 with 8-bit moments, 8 with float32 ones. Over PCIe 4 x16, about 25 GB/s in
// each direction and in both at once, that is s / 25 ns at least: 0.07 s for the 860 million parameters of the U-Net of
// SD1 with 8-bit moments, 0.28 s with float32 ones. Copies through blocks of the GPU have the same bytes to move and
// the same floor, and take GPU memory, a stream for each direction and events between the pieces of a step. What they
// would spare is latency, which a kernel hides only with enough reads under way, and with reads of whole lines of 128
// bytes: 1.5 us at 25 GB/s are 38 kB, and a multiprocessor with 4 blocks of 256 threads has 2 kB of 8-bit codes
// under way, so that 20 of them fill the bus; and the steps' kernels read states by whole lines for that reason. They
// would also let reads begin before the gradients are known: that, and these floors, are to be measured on a GPU.
//
// Returns the address that kernels use, which need not be the host's. Device thread only; the memory goes back to the
// driver in the order of the device's queue, after the work of `stream` that was enqueued before.
std::shared_ptr<void> take_pinned(const Driver& driver, Device& device, Stream stream, size_t bytes);

}  // namespace noisewright::cuda
