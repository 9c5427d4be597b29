// The names of core/simd.h for one float, so that text written for vectors serves GPU kernels too.
#pragma once
#include "cuda/gpu.h"

#ifndef NOISEWRIGHT_TARGET
#define NOISEWRIGHT_TARGET cuda
#endif
#define NW_INLINE __device__ inline

namespace noisewright::cuda {
namespace {

struct Vec {
  float v;
};
__device__ inline Vec broadcast(float x) { return {x}; }
__device__ inline Vec zero() { return {0.0f}; }
__device__ inline Vec operator+(Vec a, Vec b) { return {a.v + b.v}; }
__device__ inline Vec operator-(Vec a, Vec b) { return {a.v - b.v}; }
__device__ inline Vec operator*(Vec a, Vec b) { return {a.v * b.v}; }
__device__ inline Vec operator/(Vec a, Vec b) { return {a.v / b.v}; }
__device__ inline Vec fma(Vec a, Vec b, Vec c) { return {fmaf(a.v, b.v, c.v)}; }
__device__ inline Vec fnma(Vec a, Vec b, Vec c) { return {fmaf(-a.v, b.v, c.v)}; }
__device__ inline Vec max(Vec a, Vec b) { return {a.v > b.v ? a.v : b.v}; }
__device__ inline Vec min(Vec a, Vec b) { return {a.v < b.v ? a.v : b.v}; }
__device__ inline Vec sqrt(Vec a) { return {sqrtf(a.v)}; }
__device__ inline Vec abs(Vec a) { return {fabsf(a.v)}; }
__device__ inline Vec select_less(Vec a, Vec b, Vec x, Vec y) { return a.v < b.v ? x : y; }

}  // namespace
}  // namespace noisewright::cuda
