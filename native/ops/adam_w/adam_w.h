// One step of AdamW (Loshchilov and Hutter, 2019) for every parameter of a model in one call, with float32 or 8-bit
// states:
//   m = beta1 m + (1 - beta1) g     v = beta2 v + (1 - beta2) g^2
//   p = decay p - lr k2 / k1 m / (sqrt(v) + k2 eps)     k1 = 1 - beta1^t, k2 = sqrt(1 - beta2^t), decay = 1 - lr
//   weight_decay
#pragma once
#include "core/cpu_target.h"
#include "core/dtype.h"
#include "core/quantization.h"

namespace noisewright {

struct AdamWEntry {
  float* param;
  const float* gradient;
  void* state1;    // m: float32, or codes
  void* state2;    // v: float32, or codes
  float* absmax1;  // scales of the codes; null: the states are float32
  float* absmax2;
  bfloat16* copy;  // null, or where the new parameter is also stored
  int64_t count;
  int64_t first_task;  // number of tasks of all entries before this one
  float beta1, beta2;
  float step_size;  // lr k2 / k1
  float eps;        // k2 eps
  float decay;      // 1 - lr weight_decay
};

struct AdamWParams {
  const AdamWEntry* entries;
  int64_t entry_count;
  int64_t task_count;
  const float* clip;  // null, or [norm, coefficient] of gradient_norm: gradients are scaled by it; not finite: nothing
                      // is changed
  const QuantizationMap* signed_map;
  const QuantizationMap* unsigned_map;
  bool decay_after;   // decay the stepped parameter instead of the old one
  bool skip_invalid;  // where a gradient is not finite, clear the states of that element and leave the parameter alone
};

constexpr int64_t kAdamWTask = 64 * kQuantizationBlock;

CPU_KERNEL(adam_w_step, AdamWParams)
namespace cuda {
void adam_w_step(const AdamWParams&);  // entries and maps are on the host, everything they point to on the device
}

}  // namespace noisewright
