#include "ops/matmul/gemm_cuda.h"

#include "core/parallel.h"
#include "cuda/kernel_name.h"
#include "cuda/launch.h"

namespace noisewright::cuda {

namespace {

constexpr int64_t kWantedBlocks = 128;  // K is split until there are so many
constexpr int64_t kShortestSplit = 256;
constexpr int64_t kMost = int64_t{1} << 31;

// Whether a line of the factor may be read 16 bytes at a time (by kernels that widen 16-bit numbers: four elements).
bool wide_access(const Factor& f, bool widened) {
  const int64_t size = static_cast<int64_t>(item_size(f.dtype)), step = widened ? 4 : 16 / size;
  if (reinterpret_cast<uintptr_t>(f.data) % static_cast<uintptr_t>(step * size) != 0) return false;
  switch (f.kind) {
    case FactorKind::kMatrix:
      return f.stride % step == 0 && f.batch_stride % step == 0;
    case FactorKind::kPixels:
      return f.pixels.channels % step == 0;
    case FactorKind::kWeights:
      return f.weights.ci % step == 0;
  }
  return false;
}

const char* math_of(const Product& p) {
  if (p.a.dtype == p.b.dtype && p.a.dtype != DType::kFloat32) return p.a.dtype == DType::kBFloat16 ? "bf16" : "f16";
  return p.tf32 ? "tf32" : "f32";
}

bool two_at_once(const Product& p) {
  for (int64_t stride : {p.stride0, p.stride1, p.stride2, p.c_batch_stride})
    if (stride % 2 != 0) return false;
  for (const void* data : {static_cast<const void*>(p.c), static_cast<const void*>(p.pre)})
    if (reinterpret_cast<uintptr_t>(data) % (2 * item_size(p.c_dtype)) != 0) return false;
  return true;
}

}  // namespace

void multiply(Product p, const char* op) {
  if (p.m * p.n * p.batch == 0) return;
  for (int64_t count : {p.m, p.n, p.k})
    if (count >= kMost) fail(ErrorKind::kInternal, op, "a product on the GPU has sizes below 2^31, not ", count);
  const std::string math = math_of(p);
  const bool widened = math == "f32" || math == "tf32";
  for (Factor* f : {&p.a, &p.b}) f->wide = wide_access(*f, widened && f->dtype != DType::kFloat32);
  for (Factor* f : {&p.low_a, &p.low_b}) f->wide = p.low_k && wide_access(*f, f->dtype != DType::kFloat32);
  p.pairs = two_at_once(p);

  const int64_t columns = blocks_for(p.n, kGemmColumns);
  const bool tall = math != "tf32" && blocks_for(p.m, 128) * columns * p.batch >= kWantedBlocks;
  const int64_t rows = tall ? 128 : 64, blocks = blocks_for(p.m, rows) * columns * p.batch;
  int64_t splits = 1;
  while (blocks * splits < kWantedBlocks && p.k / (2 * splits) >= kShortestSplit) splits *= 2;
  p.k_per_split = blocks_for(blocks_for(p.k, splits), 32) * 32;  // whole tiles
  p.splits = p.k_per_split ? blocks_for(p.k, p.k_per_split) : 1;
  const Scratch<float> partial(p.splits > 1 ? p.splits * p.batch * p.m * p.n : 1);
  p.partial = p.splits > 1 ? partial.data : nullptr;

  const auto letter = [](const Factor& f) { return f.k_major ? "k" : "l"; };
  const std::string name = "gemm_" + math + "_" + std::to_string(rows) + "_" + letter(p.a) + letter(p.b) + "_kernel";
  const int bytes = gemm_tile_bytes(static_cast<int>(rows), p.a.k_major) + gemm_tile_bytes(kGemmColumns, p.b.k_major);
  launch_kernel(name.c_str(), {blocks_for(p.m, rows), columns, p.batch * p.splits}, {kGemmThreads},
                static_cast<size_t>(kGemmStages * bytes), p);
  if (p.partial)
    launch_kernel("gemm_join_kernel", {blocks_for(p.batch * p.m * ((p.n + 1) / 2), kGemmJoinThreads)},
                  {kGemmJoinThreads}, 0, p);
}

}  // namespace noisewright::cuda
