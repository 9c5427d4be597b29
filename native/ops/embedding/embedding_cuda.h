// What the kernels of embedding_cuda.cu and their host code in embedding_cuda.cpp agree on.
#pragma once

namespace noisewright::cuda {

constexpr int kEmbeddingThreads = 128;

}  // namespace noisewright::cuda
