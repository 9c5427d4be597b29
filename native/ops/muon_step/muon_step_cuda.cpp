#include "ops/muon_step/muon_step_cuda.h"

#include "core/device.h"
#include "core/parallel.h"
#include "cuda/elementwise.h"
#include "cuda/kernel_name.h"
#include "cuda/launch.h"
#include "ops/matmul/gemm_cuda.h"

namespace noisewright::cuda {

namespace {

constexpr const char* kOp = "muonStep";

// The iteration for matrices of one shape.
class Iteration {
 public:
  Iteration(const MuonStepEntry& shape, DType dtype, int64_t batch)
      : dtype_(dtype),
        batch_(batch),
        rows_(shape.rows),
        columns_(shape.columns),
        item_(static_cast<int64_t>(item_size(dtype))),
        wide_(rows_ <= columns_),
        side_(wide_ ? rows_ : columns_),
        length_(wide_ ? columns_ : rows_),
        all_(batch * shape.count()),
        square_(batch * side_ * side_),
        moved_(all_ * item_),
        gram_(square_ * item_),
        scaled_gram_(square_ * item_),
        polynomial_(square_ * item_) {}

  // One step of the matrices x.
  void step(void* x) const {
    const Factor lines = factor(x, rows_, columns_, !wide_);
    multiply_to(gram_.data, lines, lines, side_, side_, length_);
    add({kMuonC, gram_.data, nullptr, scaled_gram_.data, square_});
    multiply_to(polynomial_.data, factor(scaled_gram_.data, side_, side_, false),
                factor(gram_.data, side_, side_, true), side_, side_, side_);
    add({kMuonB, gram_.data, polynomial_.data, scaled_gram_.data, square_});
    const Factor polynomial = factor(scaled_gram_.data, side_, side_, !wide_);
    if (wide_)
      multiply_to(moved_.data, polynomial, factor(x, rows_, columns_, true), rows_, columns_, side_);
    else
      multiply_to(moved_.data, factor(x, rows_, columns_, false), polynomial, rows_, columns_, side_);
    add({kMuonA, x, moved_.data, x, all_});
  }

 private:
  Factor factor(const void* x, int64_t rows, int64_t columns, bool k_major) const {
    return matrix_of(x, dtype_, columns, k_major, rows * columns);
  }
  // y [m, n] = a b
  void multiply_to(void* y, const Factor& a, const Factor& b, int64_t m, int64_t n, int64_t k) const {
    Product p;
    p.batch = batch_;
    p.m = m;
    p.n = n;
    p.k = k;
    p.a = a;
    p.b = b;
    p.c = y;
    p.c_dtype = dtype_;
    p.stride2 = n;
    p.c_batch_stride = m * n;
    multiply(p, kOp);
  }
  void add(const MuonSum& sum) const {
    launch_kernel(("muon_add" + suffix(kOp, dtype_) + "_kernel").c_str(), {blocks_for(sum.count, kElementsPerBlock)},
                  {kElementThreads}, 0, sum, aligned_for_eight({sum.x, sum.z, sum.y}));
  }

  const DType dtype_;
  const int64_t batch_, rows_, columns_, item_;
  const bool wide_;
  const int64_t side_, length_, all_, square_;
  const Scratch<char> moved_, gram_, scaled_gram_, polynomial_;
};

// p: of the batch's matrices alone.
void step_batch(const MuonStepParams& p, const MuonStepEntry& shape) {
  const DType dtype = p.half ? DType::kBFloat16 : DType::kFloat32;
  const int64_t batch = p.entry_count, blocks = blocks_for(shape.count(), kMuonBlock);
  const Scratch<char> matrices(batch * shape.count() * static_cast<int64_t>(item_size(dtype)));
  const Scratch<double> sums(batch * blocks);
  const MuonBatch on_device{matrices.data, sums.data};
  const auto pass = [&](const std::string& name) {
    launch_kernel((name + suffix(kOp, dtype) + "_kernel").c_str(), {blocks, batch}, {kMuonThreads}, 0, p, on_device);
  };
  pass("muon_momentum");
  pass("muon_normalize");
  {
    const Iteration iteration(shape, dtype, batch);
    for (int64_t k = 0; k < p.steps; k++) iteration.step(matrices.data);
  }
  pass("muon_apply");
}

}  // namespace

// Bytes moved for a parameter in float32: 4 of the gradient, 8 of the momentum, 8 of the parameter, as many as it has
// to; beside them the matrices of the iteration, 12 (in bfloat16 6) and in each step 20 (10) besides the squares on the
// shorter side, all of which caches hold for a batch of 4 million elements or less. Time goes to the products. The list
// of matrices goes to the GPU with every step, 80 bytes for each.
void muon_step(const MuonStepParams& p) {
  const Scratch<MuonStepEntry> entries(p.entry_count);
  Device::running()->upload(entries.data, p.entries, static_cast<size_t>(p.entry_count) * sizeof(MuonStepEntry));
  for (int64_t first = 0; first < p.entry_count;) {
    const MuonStepEntry* shape = p.entries + first;
    int64_t batch = 1;
    while (first + batch < p.entry_count && batch < kMuonMostMatrices && shape[batch].same_shape(*shape) &&
           (batch + 1) * shape->count() <= kMuonBatch)
      batch++;
    MuonStepParams part = p;
    part.entries = entries.data + first;
    part.entry_count = batch;
    step_batch(part, *shape);
    first += batch;
  }
}

}  // namespace noisewright::cuda
