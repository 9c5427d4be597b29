// Instruction sets: every *_cpu.cpp is compiled once per target, and a kernel is chosen by the target in force when it
// runs.
#pragma once

namespace noisewright {

enum class CpuTarget { kBaseline, kAvx2, kAvx512, kAvx512Bf16 };
constexpr const char* kCpuTargetNames[] = {"baseline", "avx2", "avx512", "avx512_bf16"};
constexpr int kCpuTargetCount = 4;

bool cpu_supports(CpuTarget target);
CpuTarget best_cpu_target();     // the best that this machine can execute
CpuTarget current_cpu_target();  // the one in force; NOISEWRIGHT_CPU forces one at load
void set_cpu_target(CpuTarget target);

}  // namespace noisewright

// CPU_KERNEL(name, Params) declares `name` in each target's namespace and `cpu::name`, which runs the one in force. Use
// it inside namespace noisewright. CPU_KERNEL_BF16 is for kernels that have a version of their own for the bfloat16
// dot-product instructions.
#if defined(__x86_64__)
#define NOISEWRIGHT_CPU_KERNEL(name, Params, bf16_target)                                                     \
  namespace baseline {                                                                                        \
  void name(const Params&);                                                                                   \
  }                                                                                                           \
  namespace avx2 {                                                                                            \
  void name(const Params&);                                                                                   \
  }                                                                                                           \
  namespace avx512 {                                                                                          \
  void name(const Params&);                                                                                   \
  }                                                                                                           \
  namespace avx512_bf16 {                                                                                     \
  void name(const Params&);                                                                                   \
  }                                                                                                           \
  namespace cpu {                                                                                             \
  inline void name(const Params& p) {                                                                         \
    constexpr void (*table[])(const Params&) = {baseline::name, avx2::name, avx512::name, bf16_target::name}; \
    table[static_cast<int>(current_cpu_target())](p);                                                         \
  }                                                                                                           \
  }
#else
#define NOISEWRIGHT_CPU_KERNEL(name, Params, bf16_target)  \
  namespace baseline {                                     \
  void name(const Params&);                                \
  }                                                        \
  namespace cpu {                                          \
  inline void name(const Params& p) { baseline::name(p); } \
  }
#endif
#define CPU_KERNEL(name, Params) NOISEWRIGHT_CPU_KERNEL(name, Params, avx512)
#define CPU_KERNEL_BF16(name, Params) NOISEWRIGHT_CPU_KERNEL(name, Params, avx512_bf16)
