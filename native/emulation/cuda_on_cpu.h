// The CUDA language as a host compiler understands it: what *_cuda.cu files may use besides cuda/gpu.h. Test builds
// only.
#pragma once
#include <cmath>
#include <cstring>
#include <tuple>
#include <type_traits>
#include <utility>

#include "emulation/scheduler.h"
#include "emulation/tensor_cores.h"

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
// A bare __shared__ would keep its contents from block to block here and hide missing barriers.
#define __shared__ static_assert(false, "use SHARED or DYN_SHARED of cuda/gpu.h");

#define threadIdx (::noisewright::emulation::thread_index())
#define blockIdx (::noisewright::emulation::block_index())
#define blockDim (::noisewright::emulation::block_size())
#define gridDim (::noisewright::emulation::grid_size())

namespace noisewright::emulation {

// ---- The list of kernels, filled by KERNEL(name) before main.

class RegisteredKernel {
 public:
  RegisteredKernel(const char* name, Call call, const size_t* sizes)
      : name(name), call(call), argument_sizes(sizes), next(first()) {
    first() = this;
  }
  static const RegisteredKernel* find(const std::string& name) {
    for (const RegisteredKernel* k = first(); k; k = k->next)
      if (name == k->name) return k;
    return nullptr;
  }
  const char* const name;
  const Call call;
  const size_t* const argument_sizes;  // ends with 0

 private:
  static const RegisteredKernel*& first() {
    static const RegisteredKernel* list = nullptr;
    return list;
  }
  const RegisteredKernel* const next;
};

template <class... A, size_t... I>
void call_unpacked(void (*kernel)(A...), void** arguments, std::index_sequence<I...>) {
  kernel(*static_cast<std::remove_reference_t<A>*>(arguments[I])...);
}
template <class... A>
void call_kernel(void (*kernel)(A...), void** arguments) {
  call_unpacked(kernel, arguments, std::index_sequence_for<A...>{});
}
template <class... A>
struct ArgumentSizes {
  static constexpr size_t values[] = {sizeof(std::remove_reference_t<A>)..., 0};
};
template <class... A>
constexpr const size_t* sizes_of(void (*)(A...)) {
  return ArgumentSizes<A...>::values;
}
template <auto kernel>
void unpack(void** arguments) {
  call_kernel(kernel, arguments);
}

// ---- Warp operations

template <class T, class Source>
T shuffle(uint32_t mask, T value, Place place, Source source) {
  static_assert(std::is_trivially_copyable_v<T> && sizeof(T) <= 8, "CUDA shuffles 4 and 8 bytes");
  const Slots slots = exchange(mask, &value, sizeof value, place);
  const unsigned from = source(lane_index());
  T result = value;
  if (mask >> from & 1)
    std::memcpy(&result, slots.of(from), sizeof result);
  else
    std::memset(&result, 0xFF, sizeof result);  // CUDA leaves it undefined
  finish_exchange(slots);
  return result;
}

}  // namespace noisewright::emulation

inline void __syncthreads(noisewright::emulation::Place place = noisewright::emulation::Place::current()) {
  noisewright::emulation::barrier(place);
}

inline void __syncwarp(uint32_t mask = 0xFFFFFFFFu,
                       noisewright::emulation::Place place = noisewright::emulation::Place::current()) {
  const char nothing = 0;
  noisewright::emulation::finish_exchange(noisewright::emulation::exchange(mask, &nothing, 1, place));
}

template <class T>
T __shfl_sync(uint32_t mask, T value, int lane, int width = 32,
              noisewright::emulation::Place place = noisewright::emulation::Place::current()) {
  return noisewright::emulation::shuffle(mask, value, place, [=](unsigned me) {
    return (me & ~unsigned(width - 1)) | (unsigned(lane) & unsigned(width - 1));
  });
}

template <class T>
T __shfl_xor_sync(uint32_t mask, T value, int lane_mask, int width = 32,
                  noisewright::emulation::Place place = noisewright::emulation::Place::current()) {
  return noisewright::emulation::shuffle(mask, value, place, [=](unsigned me) {
    const unsigned from = me ^ unsigned(lane_mask);
    return (from & ~unsigned(width - 1)) > (me & ~unsigned(width - 1)) ? me : from;
  });
}

template <class T>
T __shfl_down_sync(uint32_t mask, T value, unsigned distance, int width = 32,
                   noisewright::emulation::Place place = noisewright::emulation::Place::current()) {
  return noisewright::emulation::shuffle(mask, value, place, [=](unsigned me) {
    return (me & unsigned(width - 1)) + distance < unsigned(width) ? me + distance : me;
  });
}

template <class T>
T __shfl_up_sync(uint32_t mask, T value, unsigned distance, int width = 32,
                 noisewright::emulation::Place place = noisewright::emulation::Place::current()) {
  return noisewright::emulation::shuffle(
      mask, value, place, [=](unsigned me) { return (me & unsigned(width - 1)) >= distance ? me - distance : me; });
}

inline uint32_t __ballot_sync(uint32_t mask, bool predicate,
                              noisewright::emulation::Place place = noisewright::emulation::Place::current()) {
  const auto slots = noisewright::emulation::exchange(mask, &predicate, 1, place);
  uint32_t votes = 0;
  for (unsigned lane = 0; lane < 32; lane++)
    if (mask >> lane & 1) votes |= uint32_t{*slots.of(lane) != 0} << lane;
  noisewright::emulation::finish_exchange(slots);
  return votes;
}

// ---- Arithmetic that CUDA has as built-in functions

inline float __uint_as_float(uint32_t bits) {
  float x;
  std::memcpy(&x, &bits, sizeof x);
  return x;
}
inline uint32_t __float_as_uint(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  return bits;
}
inline float rsqrtf(float x) { return 1.0f / std::sqrt(x); }
inline float __expf(float x) { return std::exp(x); }
inline float __fdividef(float a, float b) { return a / b; }
