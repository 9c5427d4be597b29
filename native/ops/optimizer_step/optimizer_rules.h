// What each optimizer does to one element: p is the parameter (already decayed where the decay comes first), g its
// gradient (clipped, coupled decay added), s the states, changed in place; the new parameter is returned. The numbers k
// come from the optimizer's file in lib/optim, computed in double precision and rounded once.
//
// The same text serves the CPU's kernels, where Vec is a vector, and the GPU's, where it is a float: whoever includes
// this has named the namespace (NOISEWRIGHT_TARGET) and defined Vec, its functions and NW_INLINE in it.
#pragma once

namespace noisewright::NOISEWRIGHT_TARGET {
namespace {

NW_INLINE Vec sign(Vec x) {
  return select_less(x, zero(), broadcast(-1.0f), select_less(zero(), x, broadcast(1.0f), zero()));
}

// Loshchilov and Hutter, 2019; with l2 for the decay it is Adam (Kingma and Ba, 2015). s: m, v, and with mode 1 the
// largest v so far (AMSGrad; Reddi et al., 2018).
// k: beta1, 1 - beta1, beta2, 1 - beta2, lr k2 / k1, k2 eps, with k1 = 1 - beta1^t and k2 = sqrt(1 - beta2^t)
struct AdamW {
  Vec beta1, rest1, beta2, rest2, step_size, eps;
  bool amsgrad;
  NW_INLINE AdamW(const float* k, int mode)
      : beta1(broadcast(k[0])),
        rest1(broadcast(k[1])),
        beta2(broadcast(k[2])),
        rest2(broadcast(k[3])),
        step_size(broadcast(k[4])),
        eps(broadcast(k[5])),
        amsgrad(mode & 1) {}
  NW_INLINE Vec operator()(Vec p, Vec g, Vec* s) const {
    s[0] = fma(beta1, s[0], rest1 * g);
    s[1] = fma(beta2, s[1], rest2 * g * g);
    if (amsgrad) s[2] = max(s[2], s[1]);
    return fnma(step_size, s[0] / (sqrt(amsgrad ? s[2] : s[1]) + eps), p);
  }
};

// Chen et al., "Symbolic discovery of optimization algorithms", 2023. s: m. k: beta1, 1 - beta1, beta2, 1 - beta2, lr
struct Lion {
  Vec beta1, rest1, beta2, rest2, rate;
  NW_INLINE Lion(const float* k, int)
      : beta1(broadcast(k[0])),
        rest1(broadcast(k[1])),
        beta2(broadcast(k[2])),
        rest2(broadcast(k[3])),
        rate(broadcast(k[4])) {}
  NW_INLINE Vec operator()(Vec p, Vec g, Vec* s) const {
    const Vec direction = sign(fma(beta1, s[0], rest1 * g));
    s[0] = fma(beta2, s[0], rest2 * g);
    return fnma(rate, direction, p);
  }
};

// Momentum as in Sutskever et al., 2013. s: the momentum, or null. Mode 1: Nesterov's; mode 2: without momentum.
// k: momentum (0 in the first step), 1 - dampening (1 in the first step), lr, momentum for Nesterov's look ahead
struct Sgd {
  Vec momentum, rest, rate, ahead;
  bool nesterov, plain;
  NW_INLINE Sgd(const float* k, int mode)
      : momentum(broadcast(k[0])),
        rest(broadcast(k[1])),
        rate(broadcast(k[2])),
        ahead(broadcast(k[3])),
        nesterov(mode & 1),
        plain(mode & 2) {}
  NW_INLINE Vec operator()(Vec p, Vec g, Vec* s) const {
    if (plain) return fnma(rate, g, p);
    s[0] = fma(momentum, s[0], rest * g);
    return fnma(rate, nesterov ? fma(ahead, s[0], g) : s[0], p);
  }
};

// Pagliardini et al., "The AdEMAMix optimizer: better, faster, older", 2024. s: fast and slow moment, v.
// k: beta1, 1 - beta1, beta3, 1 - beta3, beta2, 1 - beta2, 1 / k1, alpha, 1 / k2, eps, lr
struct AdEMAMix {
  Vec beta1, rest1, beta3, rest3, beta2, rest2, fast, slow, root, eps, rate;
  NW_INLINE AdEMAMix(const float* k, int)
      : beta1(broadcast(k[0])),
        rest1(broadcast(k[1])),
        beta3(broadcast(k[2])),
        rest3(broadcast(k[3])),
        beta2(broadcast(k[4])),
        rest2(broadcast(k[5])),
        fast(broadcast(k[6])),
        slow(broadcast(k[7])),
        root(broadcast(k[8])),
        eps(broadcast(k[9])),
        rate(broadcast(k[10])) {}
  NW_INLINE Vec operator()(Vec p, Vec g, Vec* s) const {
    s[0] = fma(beta1, s[0], rest1 * g);
    s[1] = fma(beta3, s[1], rest3 * g);
    s[2] = fma(beta2, s[2], rest2 * g * g);
    const Vec direction = fma(slow, s[1], fast * s[0]) / fma(root, sqrt(s[2]), eps);
    return fnma(rate, direction, p);
  }
};

// Not an optimizer: moves the parameter towards its state by a share k[0]. Schedule-free methods change places so
// between training and evaluation.
struct Lerp {
  Vec share;
  NW_INLINE Lerp(const float* k, int) : share(broadcast(k[0])) {}
  NW_INLINE Vec operator()(Vec p, Vec, Vec* s) const { return fma(share, s[0] - p, p); }
};

}  // namespace
}  // namespace noisewright::NOISEWRIGHT_TARGET
