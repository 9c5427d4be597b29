// The elementary functions on vectors of float32. Included by kernel files only, which are compiled once per target:
// see core/simd.h.
#pragma once
#include "core/simd.h"

namespace noisewright::NOISEWRIGHT_TARGET {
namespace {

// e^x within 1 unit in the last place or so; 0 below -87.3, saturates above 88.3. Polynomial for 2^f on [-0.5, 0.5],
// degree 6.
NW_INLINE Vec exp(Vec x) {
  const Vec low = broadcast(-87.3f), high = broadcast(88.3f);
  const Vec clamped = min(high, max(low, x));  // this order lets NaN through
  const Vec n = round(clamped * broadcast(1.44269504f));
  Vec f = fnma(n, broadcast(0.693359375f), clamped);  // x - n ln 2 in two parts
  f = fnma(n, broadcast(-2.12194440e-4f), f);
  Vec p = broadcast(1.9875691500e-4f);
  p = fma(p, f, broadcast(1.3981999507e-3f));
  p = fma(p, f, broadcast(8.3334519073e-3f));
  p = fma(p, f, broadcast(4.1665795894e-2f));
  p = fma(p, f, broadcast(1.6666665459e-1f));
  p = fma(p, f, broadcast(5.0000001201e-1f));
  p = fma(p * f, f, f) + broadcast(1.0f);
  return select_less(x, low, zero(), scale_by_power(p, n));
}

NW_INLINE Vec sigmoid(Vec x) { return broadcast(1.0f) / (broadcast(1.0f) + exp(zero() - x)); }

// The error function, absolute error below 2e-7. |x| < 1: odd polynomial; else 1 - e^(-x^2) Q(1 / (1 + 0.4 |x|)). Both
// fitted for this file.
NW_INLINE Vec erf(Vec x) {
  const Vec a = abs(x), one = broadcast(1.0f);
  const Vec s = x * x;
  Vec p = broadcast(-9.641405995e-06f);
  p = fma(p, s, broadcast(1.125691342e-04f));
  p = fma(p, s, broadcast(-8.482824778e-04f));
  p = fma(p, s, broadcast(5.220944993e-03f));
  p = fma(p, s, broadcast(-2.686540037e-02f));
  p = fma(p, s, broadcast(1.128378212e-01f));
  p = fma(p, s, broadcast(-3.761263788e-01f));
  p = fma(p, s, broadcast(1.128379226e+00f));
  const Vec t = one / fma(broadcast(0.4f), a, one);
  Vec q = broadcast(7.525558025e-02f);
  q = fma(q, t, broadcast(-4.046326280e-01f));
  q = fma(q, t, broadcast(7.146864533e-01f));
  q = fma(q, t, broadcast(-4.174159169e-01f));
  q = fma(q, t, broadcast(4.430975020e-01f));
  q = fma(q, t, broadcast(1.243384555e-01f));
  q = fma(q, t, broadcast(2.400658727e-01f));
  q = fma(q, t, broadcast(2.245969772e-01f));
  const Vec large = one - exp(zero() - s) * (q * t);
  const Vec signed_large = select_less(x, zero(), zero() - large, large);
  return select_less(a, one, p * x, signed_large);
}

}  // namespace
}  // namespace noisewright::NOISEWRIGHT_TARGET
