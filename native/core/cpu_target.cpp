#include "core/cpu_target.h"

#include <atomic>

namespace noisewright {

bool cpu_supports(CpuTarget target) {
#if defined(__x86_64__)
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  switch (target) {
    case CpuTarget::kBaseline:
      return true;
    case CpuTarget::kAvx2:
      return avx2;
    case CpuTarget::kAvx512:
      return avx512;
    case CpuTarget::kAvx512Bf16:
      return avx512 && __builtin_cpu_supports("avx512bf16");
  }
  return false;
#else
  return target == CpuTarget::kBaseline;
#endif
}

CpuTarget best_cpu_target() {
  int best = 0;
  for (int t = 0; t < kCpuTargetCount; t++)
    if (cpu_supports(static_cast<CpuTarget>(t))) best = t;
  return static_cast<CpuTarget>(best);
}

static std::atomic<CpuTarget>& target_in_force() {
  static std::atomic<CpuTarget> target{best_cpu_target()};
  return target;
}

CpuTarget current_cpu_target() { return target_in_force().load(std::memory_order_relaxed); }
void set_cpu_target(CpuTarget target) { target_in_force().store(target); }

}  // namespace noisewright
