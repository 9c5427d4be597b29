// One step of an optimizer for every parameter of a model in one call. What an optimizer does to one element is a rule
// (optimizer_rules.h); everything around it is the same for all and lives in the kernels: finding the tensor, clipping,
// weight decay, 8-bit states, 16-bit parameters and copies.
#pragma once
#include "core/cpu_target.h"
#include "core/dtype.h"
#include "core/philox.h"
#include "core/quantization.h"

namespace noisewright {

constexpr int kMaxOptimizerStates = 4;
constexpr int kOptimizerConstants = 12;

struct OptimizerEntry {
  void* param;  // of any float type
  const float* gradient;
  void* state[kMaxOptimizerStates];    // float32, or codes; null: the rule runs without it
  float* absmax[kMaxOptimizerStates];  // scales of the codes; null: the state is float32
  void* copy;                          // null, or where the new parameter is also stored
  int64_t count;
  int64_t first_task;  // number of tasks of all entries before this one
  uint64_t stream;     // of the random numbers of stochastic rounding
  DType dtype, copy_dtype;
  int mode;                      // bits that the rule knows
  float l2;                      // g += l2 p before anything else: coupled weight decay
  float decay;                   // p *= decay, before the rule or after it: decoupled weight decay
  float k[kOptimizerConstants];  // the rule's own numbers
};

struct OptimizerParams {
  const OptimizerEntry* entries;
  int64_t entry_count;
  int64_t task_count;
  const float* clip;  // null, or [norm, coefficient] of gradient_norm: gradients are scaled by it; not finite: nothing
                      // is changed
  const QuantizationMap* signed_map;
  const QuantizationMap* unsigned_map;
  uint64_t seed;      // of stochastic rounding
  int rule;           // index into kOptimizerRules
  int signed_states;  // bit k: codes of state k come from the signed map
  bool decay_after;   // decay the stepped parameter instead of the old one
  bool skip_invalid;  // where a gradient is not finite, clear the states of that element and leave the parameter alone
  bool stochastic_rounding;  // of 16-bit parameters; otherwise to nearest
};

// Name, states, and which of them have a sign (the map of their codes).
struct OptimizerRuleInfo {
  const char* name;
  int states;
  bool is_signed[kMaxOptimizerStates];
};
constexpr OptimizerRuleInfo kOptimizerRules[] = {
#define OPTIMIZER_RULE(Type, name, states, ...) {#name, states, {__VA_ARGS__}},
#include "ops/optimizer_step/optimizer_rule_list.h"
#undef OPTIMIZER_RULE
};

constexpr int64_t kOptimizerTask = 64 * kQuantizationBlock;

CPU_KERNEL(optimizer_step, OptimizerParams)
namespace cuda {
void optimizer_step(const OptimizerParams&);  // entries and maps are on the host, everything they point to on the
                                              // device
}

}  // namespace noisewright
