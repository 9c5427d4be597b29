// One step of Muon (Jordan et al., 2024) for all matrices of a model: momentum, brought close to the nearest
// semi-orthogonal matrix by Newton and Schulz' iteration.
#pragma once
#include "core/cpu_target.h"
#include "core/dtype.h"

namespace noisewright {

enum MuonNumber { kMuonKeep, kMuonRest, kMuonNesterov, kMuonDecay, kMuonRate, kMuonNumbers };

struct MuonStepEntry {
  void* param;  // of any float type
  const float* gradient;
  float* momentum;
  void* copy;  // null, or where the new parameter is also stored
  int64_t rows, columns;
  uint64_t stream;  // of the random numbers of stochastic rounding
  DType dtype, copy_dtype;
  float k[kMuonNumbers];  // momentum, 1 - momentum, 1 to look ahead, factor of the parameter, factor of the update

  constexpr int64_t count() const { return rows * columns; }
  bool same_shape(const MuonStepEntry& other) const { return rows == other.rows && columns == other.columns; }
};

struct MuonStepParams {
  const MuonStepEntry* entries;  // those of one shape follow each other
  int64_t entry_count;
  const float* clip;  // null, or [norm, coefficient] of gradient_norm: gradients are scaled by it; not finite: nothing
                      // is changed
  int64_t steps;      // of the iteration
  uint64_t seed;      // of stochastic rounding
  bool half;          // the iteration keeps its matrices in bfloat16
  bool stochastic_rounding;  // of 16-bit parameters; otherwise to nearest
};

constexpr int64_t kMuonBlock = 16384;    // elements of a task
constexpr int64_t kMuonBatch = 1 << 22;  // elements of matrices of one shape that are multiplied together

// The iteration X <- a X + (b A + c A^2) X with A = X X^T, steepest at zero.
constexpr float kMuonA = 3.4445f, kMuonB = -4.7750f, kMuonC = 2.0315f;

CPU_KERNEL(muon_step, MuonStepParams)
namespace cuda {
void muon_step(const MuonStepParams&);
}

}  // namespace noisewright
