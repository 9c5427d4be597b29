// One step of an optimizer that finds its own step size d, for every parameter of a model in one call. Two passes over
// memory: the first changes the moving averages and adds up what the estimate of d needs, the second moves the
// parameters. Between them the scalars, which never leave the device, are brought up to date in double precision.
#pragma once
#include "core/cpu_target.h"
#include "core/dtype.h"

namespace noisewright {

constexpr int kMaxAdaptiveStates = 5;
constexpr int kMaxAdaptiveSums = 3;

// What an optimizer knows about its whole model; JavaScript keeps the bits in an int64 tensor.
struct AdaptiveScalars {
  double d;            // the step size found so far
  double d_max;        // Prodigy's largest estimate
  double weighted;     // moving average (or sum) of the numerator, or of the weighted squared gradients
  double k;            // steps that counted
  double first_norm;   // of the gradients of the first step that counted: D-Adapt SGD
  double sksq;         // running sum of D-Adapt AdaGrad: weighted squares of s
  double skl1;         // and of |s|
  double denominator;  // of the last estimate: Prodigy
};
constexpr int kAdaptiveScalars = sizeof(AdaptiveScalars) / sizeof(double);

// What holds for all groups. JavaScript gives the numbers in this order, then the switches as bits.
struct AdaptiveSettings {
  double rate;  // the largest learning rate of all groups
  double beta1, beta2, beta3;
  double growth;  // d grows by this factor at most
  double d0;
  double coefficient;  // of Prodigy's estimate
  double momentum;
  bool decoupled;        // weight decay acts on the parameter, not on the gradient
  bool bias_correction;  // Adam's
  bool safeguard;        // Prodigy: leave the rate out of the denominator, which keeps warm-up from spoiling it
  bool no_prox;          // Adan: decay before the step instead of dividing after it
};

struct AdaptiveGroup {
  double factor;  // the group's learning rate / the largest one; not 0
  double decay;   // weight decay
  double eps;
};

struct AdaptiveEntry {
  void* param;  // of any float type
  const float* gradient;
  float* state[kMaxAdaptiveStates];  // null: the rule runs without it
  void* copy;                        // null, or where the new parameter is also stored
  int64_t count;
  int64_t first_task;  // number of tasks of all entries before this one
  uint64_t stream;     // of the random numbers of stochastic rounding
  AdaptiveGroup group;
  DType dtype, copy_dtype;
  bool fresh;  // never stepped: the state that holds the first parameter is yet to be filled
};

struct AdaptiveStepParams {
  const AdaptiveEntry* entries;
  int64_t entry_count;
  int64_t task_count;
  AdaptiveScalars* scalars;
  const float* clip;  // null, or [norm, coefficient] of gradient_norm: gradients are scaled by it; not finite: nothing
                      // is changed
  AdaptiveSettings settings;
  int64_t slice;             // Prodigy's s and p0 keep every slice-th element of a parameter
  uint64_t seed;             // of stochastic rounding
  int rule;                  // index into kAdaptiveRules
  bool stochastic_rounding;  // of 16-bit parameters; otherwise to nearest
};

struct AdaptiveRuleInfo {
  const char* name;
  int states;
  bool first_norm;
};
constexpr AdaptiveRuleInfo kAdaptiveRules[] = {
#define ADAPTIVE_RULE(Type, name, states, first_norm) {#name, states, first_norm},
#include "ops/adaptive_step/adaptive_rule_list.h"
#undef ADAPTIVE_RULE
};

constexpr int64_t kAdaptiveBlock = 256;  // elements whose sums are float32
constexpr int64_t kAdaptiveTask = 64 * kAdaptiveBlock;

CPU_KERNEL(adaptive_step, AdaptiveStepParams)
namespace cuda {
void adaptive_step(const AdaptiveStepParams&);
}

}  // namespace noisewright
