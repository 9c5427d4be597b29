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
// largest v so far (AMSGrad; Reddi et al., 2018). Mode 2: the step is along m alone, as in RAdam's first steps.
// k: beta1, 1 - beta1, beta2, 1 - beta2, lr k2 / k1, k2 eps, with k1 = 1 - beta1^t and k2 = sqrt(1 - beta2^t)
struct AdamW {
  Vec beta1, rest1, beta2, rest2, step_size, eps;
  bool amsgrad, plain;
  NW_INLINE AdamW(const float* k, int mode)
      : beta1(broadcast(k[0])),
        rest1(broadcast(k[1])),
        beta2(broadcast(k[2])),
        rest2(broadcast(k[3])),
        step_size(broadcast(k[4])),
        eps(broadcast(k[5])),
        amsgrad(mode & 1),
        plain(mode & 2) {}
  NW_INLINE Vec operator()(Vec p, Vec g, Vec* s) const {
    s[0] = fma(beta1, s[0], rest1 * g);
    s[1] = fma(beta2, s[1], rest2 * g * g);
    if (amsgrad) s[2] = max(s[2], s[1]);
    if (plain) return fnma(step_size, s[0], p);
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

// Dozat, "Incorporating Nesterov momentum into Adam", 2016. s: m, v.
// k: beta1, 1 - beta1, beta2, 1 - beta2, share of the gradient, share of m, k2 eps; the shares contain lr k2
struct NAdam {
  Vec beta1, rest1, beta2, rest2, fresh, old, eps;
  NW_INLINE NAdam(const float* k, int)
      : beta1(broadcast(k[0])),
        rest1(broadcast(k[1])),
        beta2(broadcast(k[2])),
        rest2(broadcast(k[3])),
        fresh(broadcast(k[4])),
        old(broadcast(k[5])),
        eps(broadcast(k[6])) {}
  NW_INLINE Vec operator()(Vec p, Vec g, Vec* s) const {
    s[0] = fma(beta1, s[0], rest1 * g);
    s[1] = fma(beta2, s[1], rest2 * g * g);
    return p - fma(fresh, g, old * s[0]) / (sqrt(s[1]) + eps);
  }
};

// Kingma and Ba, 2015, section 7.1. s: m, the largest magnitude, which fades. k: beta1, 1 - beta1, beta2, eps, lr / k1
struct Adamax {
  Vec beta1, rest1, beta2, eps, rate;
  NW_INLINE Adamax(const float* k, int)
      : beta1(broadcast(k[0])),
        rest1(broadcast(k[1])),
        beta2(broadcast(k[2])),
        eps(broadcast(k[3])),
        rate(broadcast(k[4])) {}
  NW_INLINE Vec operator()(Vec p, Vec g, Vec* s) const {
    s[0] = fma(beta1, s[0], rest1 * g);
    s[1] = max(beta2 * s[1], abs(g) + eps);
    return fnma(rate, s[0] / s[1], p);
  }
};

// Duchi, Hazan and Singer, 2011. s: the sum of squares. k: lr, eps
struct Adagrad {
  Vec rate, eps;
  NW_INLINE Adagrad(const float* k, int) : rate(broadcast(k[0])), eps(broadcast(k[1])) {}
  NW_INLINE Vec operator()(Vec p, Vec g, Vec* s) const {
    s[0] = fma(g, g, s[0]);
    return fnma(rate, g / (sqrt(s[0]) + eps), p);
  }
};

// Zeiler, 2012. s: means of the squares of gradients and of steps. k: rho, 1 - rho, eps, lr
struct Adadelta {
  Vec rho, rest, eps, rate;
  NW_INLINE Adadelta(const float* k, int)
      : rho(broadcast(k[0])), rest(broadcast(k[1])), eps(broadcast(k[2])), rate(broadcast(k[3])) {}
  NW_INLINE Vec operator()(Vec p, Vec g, Vec* s) const {
    s[0] = fma(rho, s[0], rest * g * g);
    const Vec change = sqrt(s[1] + eps) / sqrt(s[0] + eps) * g;
    s[1] = fma(rho, s[1], rest * change * change);
    return fnma(rate, change, p);
  }
};

// Tieleman and Hinton, 2012. s: the mean of squares; with mode 1 the mean, taken out of it (Graves, 2013); with mode 2
// a momentum. k: alpha, 1 - alpha, eps, momentum, lr
struct RmsProp {
  Vec alpha, rest, eps, momentum, rate;
  bool centered, moving;
  NW_INLINE RmsProp(const float* k, int mode)
      : alpha(broadcast(k[0])),
        rest(broadcast(k[1])),
        eps(broadcast(k[2])),
        momentum(broadcast(k[3])),
        rate(broadcast(k[4])),
        centered(mode & 1),
        moving(mode & 2) {}
  NW_INLINE Vec operator()(Vec p, Vec g, Vec* s) const {
    s[0] = fma(alpha, s[0], rest * g * g);
    if (centered) s[1] = fma(rest, g - s[1], s[1]);
    const Vec step = g / (sqrt(centered ? fnma(s[1], s[1], s[0]) : s[0]) + eps);
    if (!moving) return fnma(rate, step, p);
    s[2] = fma(momentum, s[2], step);
    return fnma(rate, s[2], p);
  }
};

// Riedmiller and Braun, 1993, going on without a step where the sign turned. s: the last gradient, the step size.
// k: factor of a turn, factor of going on, least and largest step
struct Rprop {
  Vec shrink, grow, least, largest;
  NW_INLINE Rprop(const float* k, int)
      : shrink(broadcast(k[0])), grow(broadcast(k[1])), least(broadcast(k[2])), largest(broadcast(k[3])) {}
  NW_INLINE Vec operator()(Vec p, Vec g, Vec* s) const {
    const Vec agreement = g * s[0];
    const Vec factor = select_less(agreement, zero(), shrink, select_less(zero(), agreement, grow, broadcast(1.0f)));
    s[1] = min(max(s[1] * factor, least), largest);
    s[0] = select_less(agreement, zero(), zero(), g);
    return fnma(sign(s[0]), s[1], p);
  }
};

// Polyak and Juditsky, 1992. s: the average of the parameters; mode 1: it starts with this step. k: eta, mu
struct Asgd {
  Vec rate, share;
  bool starts;
  NW_INLINE Asgd(const float* k, int mode) : rate(broadcast(k[0])), share(broadcast(k[1])), starts(mode & 1) {}
  NW_INLINE Vec operator()(Vec p, Vec g, Vec* s) const {
    const Vec next = fnma(rate, g, p);
    s[0] = starts ? next : fma(share, next - s[0], s[0]);
    return next;
  }
};

// Defazio et al., "The road less scheduled", 2024: the parameter is where gradients are taken (y). s: z, v; mode 1: the
// gradient is not divided. k: beta2, 1 - beta2, 1 / k2, eps, decay, share of z in the average, rate of y, lr
struct ScheduleFree {
  Vec beta2, rest2, root, eps, decay, share, ahead, rate;
  bool plain;
  NW_INLINE ScheduleFree(const float* k, int mode)
      : beta2(broadcast(k[0])),
        rest2(broadcast(k[1])),
        root(broadcast(k[2])),
        eps(broadcast(k[3])),
        decay(broadcast(k[4])),
        share(broadcast(k[5])),
        ahead(broadcast(k[6])),
        rate(broadcast(k[7])),
        plain(mode & 1) {}
  NW_INLINE Vec operator()(Vec p, Vec g, Vec* s) const {
    s[1] = fma(beta2, s[1], rest2 * g * g);
    const Vec step = fma(decay, p, plain ? g : g / fma(root, sqrt(s[1]), eps));
    const Vec next = fma(ahead, step, fma(share, s[0] - p, p));
    s[0] = fnma(rate, step, s[0]);
    return next;
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
