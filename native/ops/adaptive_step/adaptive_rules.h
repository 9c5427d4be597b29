// What each learning-rate-free optimizer does. `accumulate` is the first pass for one element: p the parameter, g its
// gradient (clipped, coupled decay added), s the states, which change in place, as do the sums; `estimate` turns the
// sums over all elements into the next d, in double precision, and says whether the step goes on; `apply` is the second
// pass, which returns the new parameter. `rate` below is d * lr * bias correction with the d from before the step.
//
// Groups with learning rates of their own: a group's parameters are treated as if they were measured in units of
// `factor`, its rate's share of the largest rate. Then its updates are `factor` times as long, and its sums count
// `factor` times (Prodigy's numerator counts once, because p0 - p has grown with the updates already). That is what
// layer_scale means in the authors' D-Adapt Adam.
//
// The same text serves the CPU's kernels, where Vec is a vector, and the GPU's, where it is a float: whoever includes
// this has named the namespace (NOISEWRIGHT_TARGET) and defined Vec, its functions and NW_INLINE in it.
#pragma once
#include <math.h>

#include "ops/adaptive_step/adaptive_step.h"
#include "ops/optimizer_step/optimizer_rules.h"

namespace noisewright::NOISEWRIGHT_TARGET {
namespace {

// The scalars of a step in its two passes: d is the old one in the first, the new one in the second.
struct AdaptiveNow {
  double rate, d;
};

NW_INLINE Vec rounded(double x) { return broadcast(static_cast<float>(x)); }

// The larger of d and the estimate, which is first cut to d * growth. An estimate that is not a number is ignored.
NW_INLINE double grown(double d, double estimate, double growth) {
  const double limit = d * growth, next = limit < estimate ? limit : estimate;
  return d < next ? next : d;
}

NW_INLINE double bias_correction(const AdaptiveSettings& o, const AdaptiveScalars& now) {
  if (!o.bias_correction) return 1;
  return ::sqrt(1 - ::pow(o.beta2, now.k + 1)) / (1 - ::pow(o.beta1, now.k + 1));
}

// What rules do unless they say otherwise.
struct AdaptiveRule {
  static constexpr bool kStepsFirst = false;  // the parameter moves in the first pass, and there is no second
  static constexpr bool kReadsParam = false;  // in the first pass, even without coupled decay
  static constexpr bool kSliced = false;      // may keep some states for a part of the elements only
  static constexpr int kOrigin = -1;          // the state that holds the parameter from before the first step
  static constexpr int kUnweighted = 0;       // bit k: sum k does not count `factor` times
  static NW_INLINE bool reads_gradient(const AdaptiveSettings&) { return false; }  // in the second pass
  static NW_INLINE double rate(const AdaptiveSettings& o, const AdaptiveScalars& now) {
    return now.d * o.rate * bias_correction(o, now);
  }
};

// Defazio and Mishchenko, "Learning-rate-free learning by D-Adaptation", 2023, with Adam as the base: the authors'
// third version. s: m, v, s. Sums: numerator, |s|.
struct DAdaptAdam : AdaptiveRule {
  static constexpr int kStates = 3, kSums = 2;
  static constexpr int kRead1 = 7, kWritten1 = 7, kRead2 = 3, kWritten2 = 0;
  Vec beta1, pull_m, beta2, rest2, fade, pull_s, eps, factor, decay;
  NW_INLINE DAdaptAdam(const AdaptiveSettings& o, const AdaptiveGroup& group, const AdaptiveNow& now)
      : beta1(rounded(o.beta1)),
        pull_m(rounded(now.rate * (1 - o.beta1))),
        beta2(rounded(o.beta2)),
        rest2(rounded(1 - o.beta2)),
        fade(rounded(::sqrt(o.beta2))),
        pull_s(rounded(now.rate * (1 - ::sqrt(o.beta2)))),
        eps(rounded(group.eps)),
        factor(rounded(group.factor)),
        decay(rounded(o.decoupled ? group.factor * now.rate * group.decay : 0)) {}
  NW_INLINE Vec accumulate(Vec p, Vec g, Vec* s, Vec* sums) const {
    sums[0] = fma(g, s[2] / (sqrt(s[1]) + eps), sums[0]);
    s[0] = fma(beta1, s[0], pull_m * g);
    s[1] = fma(beta2, s[1], rest2 * g * g);
    s[2] = fma(fade, s[2], pull_s * g);
    sums[1] = sums[1] + abs(s[2]);
    return p;
  }
  static NW_INLINE bool estimate(const AdaptiveSettings& o, double rate, const double* sums, AdaptiveScalars& now) {
    if (sums[1] == 0) return false;
    const double fade = ::sqrt(o.beta2);
    now.weighted = fade * now.weighted + (1 - fade) * rate * sums[0];
    now.d = grown(now.d, now.weighted / ((1 - fade) * sums[1]), o.growth);
    return true;
  }
  NW_INLINE Vec apply(Vec p, Vec, Vec* s) const { return fnma(factor, s[0] / (sqrt(s[1]) + eps), fnma(decay, p, p)); }
};

// The form of the paper's preprint (versions 1 and 2 of the authors' package). s: m, v, s. Sums: squared gradients over
// the root of v, squares of s over it, |s|.
struct DAdaptAdamPreprint : AdaptiveRule {
  static constexpr int kStates = 3, kSums = 3;
  static constexpr int kRead1 = 7, kWritten1 = 7, kRead2 = 3, kWritten2 = 0;
  Vec beta1, pull_m, beta2, rest2, pull_s, eps, factor, decay;
  NW_INLINE DAdaptAdamPreprint(const AdaptiveSettings& o, const AdaptiveGroup& group, const AdaptiveNow& now)
      : beta1(rounded(o.beta1)),
        pull_m(rounded(now.rate * (1 - o.beta1))),
        beta2(rounded(o.beta2)),
        rest2(rounded(1 - o.beta2)),
        pull_s(rounded(now.rate * (1 - o.beta2))),
        eps(rounded(group.eps)),
        factor(rounded(group.factor)),
        decay(rounded(o.decoupled ? group.factor * now.rate * group.decay : 0)) {}
  NW_INLINE Vec accumulate(Vec p, Vec g, Vec* s, Vec* sums) const {
    s[0] = fma(beta1, s[0], pull_m * g);
    s[1] = fma(beta2, s[1], rest2 * g * g);
    s[2] = fma(beta2, s[2], pull_s * g);
    const Vec denominator = sqrt(s[1]) + eps;
    sums[0] = sums[0] + g * g / denominator;
    sums[1] = sums[1] + s[2] * s[2] / denominator;
    sums[2] = sums[2] + abs(s[2]);
    return p;
  }
  // The moving average of the squared gradients and the estimate, with the decay of s.
  static NW_INLINE bool estimate_with(const AdaptiveSettings& o, double beta, double rate, const double* sums,
                                      AdaptiveScalars& now) {
    if (sums[2] == 0) return false;
    now.weighted = beta * now.weighted + (1 - beta) * rate * rate * sums[0];
    now.d = grown(now.d, (sums[1] / (1 - beta) - now.weighted) / sums[2], o.growth);
    return true;
  }
  static NW_INLINE bool estimate(const AdaptiveSettings& o, double rate, const double* sums, AdaptiveScalars& now) {
    return estimate_with(o, o.beta2, rate, sums, now);
  }
  NW_INLINE Vec apply(Vec p, Vec, Vec* s) const { return fnma(factor, s[0] / (sqrt(s[1]) + eps), fnma(decay, p, p)); }
};

// D-Adaptation of AdaGrad with dual averaging. s: a (the sum of squared gradients), s, the first parameter. Sums:
// squared gradients over the root of a, and by how much this step changes the squares of s over it and |s|.
struct DAdaptAdaGrad : AdaptiveRule {
  static constexpr int kStates = 3, kSums = 3;
  static constexpr int kRead1 = 3, kWritten1 = 3, kRead2 = 7, kWritten2 = 0;
  static constexpr int kOrigin = 2;
  Vec rate_, eps, factor, momentum, rest;
  NW_INLINE DAdaptAdaGrad(const AdaptiveSettings& o, const AdaptiveGroup& group, const AdaptiveNow& now)
      : rate_(rounded(now.rate)),
        eps(rounded(group.eps)),
        factor(rounded(group.factor)),
        momentum(rounded(o.momentum)),
        rest(rounded(1 - o.momentum)) {}
  NW_INLINE Vec accumulate(Vec p, Vec g, Vec* s, Vec* sums) const {
    const Vec squares = s[1] * s[1] / (sqrt(s[0]) + eps), size = abs(s[1]);
    s[0] = fma(g, g, s[0]);
    s[1] = fma(rate_, g, s[1]);
    const Vec denominator = sqrt(s[0]) + eps;
    sums[0] = sums[0] + g * g / denominator;
    sums[1] = sums[1] + (s[1] * s[1] / denominator - squares);
    sums[2] = sums[2] + (abs(s[1]) - size);
    return p;
  }
  static NW_INLINE bool estimate(const AdaptiveSettings& o, double rate, const double* sums, AdaptiveScalars& now) {
    now.sksq += sums[1];
    now.skl1 += sums[2];
    if (now.skl1 == 0) return false;
    now.weighted += rate * rate * sums[0];
    now.d = grown(now.d, (now.sksq - now.weighted) / now.skl1, o.growth);
    return true;
  }
  NW_INLINE Vec apply(Vec p, Vec, Vec* s) const {
    return fma(momentum, p, rest * fnma(factor, s[1] / (sqrt(s[0]) + eps), s[2]));
  }
};

// The moving averages of Adan (Xie et al., "Adan: adaptive Nesterov momentum algorithm", 2022), which both of its
// D-Adaptations share. s: m, n (of gradient differences), v, s, the last gradient. The last gradient is not a number
// before the first step, whose difference is 0.
struct AdanAverages : AdaptiveRule {
  static constexpr int kStates = 5;
  static constexpr int kRead1 = 31, kWritten1 = 15, kRead2 = 7, kWritten2 = 16;
  static NW_INLINE bool reads_gradient(const AdaptiveSettings&) { return true; }
  Vec beta1, beta2, beta3, pull_m, pull_n, rest3, pull_s, eps, factor, decay, shrink, infinity;
  NW_INLINE AdanAverages(const AdaptiveSettings& o, const AdaptiveGroup& group, const AdaptiveNow& now)
      : beta1(rounded(o.beta1)),
        beta2(rounded(o.beta2)),
        beta3(rounded(o.beta3)),
        pull_m(rounded(now.rate * (1 - o.beta1))),
        pull_n(rounded(now.rate * (1 - o.beta2))),
        rest3(rounded(1 - o.beta3)),
        pull_s(rounded(now.rate * (1 - o.beta3))),
        eps(rounded(group.eps)),
        factor(rounded(group.factor)),
        decay(rounded(o.no_prox ? group.factor * now.rate * group.decay : 0)),
        shrink(rounded(o.no_prox ? 1 : 1 + group.factor * now.rate * group.decay)),
        infinity(broadcast(__builtin_inff())) {}
  NW_INLINE void average(Vec g, Vec* s) const {
    const Vec difference = select_less(abs(s[4]), infinity, g - s[4], zero()), update = fma(beta2, difference, g);
    s[0] = fma(beta1, s[0], pull_m * g);
    s[1] = fma(beta2, s[1], pull_n * difference);
    s[2] = fma(beta3, s[2], rest3 * update * update);
    s[3] = fma(beta3, s[3], pull_s * g);
  }
  NW_INLINE Vec apply(Vec p, Vec g, Vec* s) const {
    s[4] = g;
    return fnma(factor, fma(beta2, s[1], s[0]) / (sqrt(s[2]) + eps), fnma(decay, p, p)) / shrink;
  }
};

// Sums and estimate as the preprint's Adam has them.
struct DAdaptAdan : AdanAverages {
  static constexpr int kSums = 3;
  using AdanAverages::AdanAverages;
  NW_INLINE Vec accumulate(Vec p, Vec g, Vec* s, Vec* sums) const {
    average(g, s);
    const Vec denominator = sqrt(s[2]) + eps;
    sums[0] = sums[0] + g * g / denominator;
    sums[1] = sums[1] + s[3] * s[3] / denominator;
    sums[2] = sums[2] + abs(s[3]);
    return p;
  }
  static NW_INLINE bool estimate(const AdaptiveSettings& o, double rate, const double* sums, AdaptiveScalars& now) {
    return DAdaptAdamPreprint::estimate_with(o, o.beta3, rate, sums, now);
  }
};

// The estimate by inner products. Sums: numerator, |s|.
struct DAdaptAdanIP : AdanAverages {
  static constexpr int kSums = 2;
  using AdanAverages::AdanAverages;
  NW_INLINE Vec accumulate(Vec p, Vec g, Vec* s, Vec* sums) const {
    sums[0] = fma(g, s[3] / (sqrt(s[2]) + eps), sums[0]);
    average(g, s);
    sums[1] = sums[1] + abs(s[3]);
    return p;
  }
  static NW_INLINE bool estimate(const AdaptiveSettings& o, double rate, const double* sums, AdaptiveScalars& now) {
    if (sums[1] == 0) return false;
    now.weighted = o.beta3 * now.weighted + (1 - o.beta3) * rate * sums[0];
    now.d = grown(now.d, 2 * (o.beta3 / (1 - o.beta3)) * now.weighted / sums[1], o.growth);
    return true;
  }
};

// D-Adaptation of Lion. s: m, s. Sums: numerator, |s|. The parameter moves with the old d, so one pass is enough.
struct DAdaptLion : AdaptiveRule {
  static constexpr int kStates = 2, kSums = 2;
  static constexpr int kRead1 = 3, kWritten1 = 3, kRead2 = 0, kWritten2 = 0;
  static constexpr bool kStepsFirst = true, kReadsParam = true;
  Vec beta1, rest1, beta2, pull_m, fade, pull_s, step, decay;
  NW_INLINE DAdaptLion(const AdaptiveSettings& o, const AdaptiveGroup& group, const AdaptiveNow& now)
      : beta1(rounded(o.beta1)),
        rest1(rounded(1 - o.beta1)),
        beta2(rounded(o.beta2)),
        pull_m(rounded(now.rate * (1 - o.beta2))),
        fade(rounded(::sqrt(o.beta2))),
        pull_s(rounded(now.rate * (1 - ::sqrt(o.beta2)))),
        step(rounded(group.factor * now.rate)),
        decay(rounded(group.factor * now.rate * group.decay)) {}
  NW_INLINE Vec accumulate(Vec p, Vec g, Vec* s, Vec* sums) const {
    const Vec direction = sign(fma(beta1, s[0], rest1 * g));
    sums[0] = fma(direction, s[1], sums[0]);
    s[0] = fma(beta2, s[0], pull_m * g);
    s[1] = fma(fade, s[1], pull_s * direction);
    sums[1] = sums[1] + abs(s[1]);
    return fnma(step, direction, fnma(decay, p, p));
  }
  static NW_INLINE bool estimate(const AdaptiveSettings& o, double rate, const double* sums, AdaptiveScalars& now) {
    return DAdaptAdam::estimate(o, rate, sums, now);
  }
  NW_INLINE Vec apply(Vec p, Vec, Vec*) const { return p; }
};

// D-Adaptation of SGD with dual averaging. s: s, the first parameter. Sums: numerator, squares of s.
struct DAdaptSgd : AdaptiveRule {
  static constexpr int kStates = 2, kSums = 2;
  static constexpr int kRead1 = 1, kWritten1 = 1, kRead2 = 3, kWritten2 = 0;
  static constexpr int kOrigin = 1;
  Vec rate_, factor, momentum, rest;
  NW_INLINE DAdaptSgd(const AdaptiveSettings& o, const AdaptiveGroup& group, const AdaptiveNow& now)
      : rate_(rounded(now.rate)),
        factor(rounded(group.factor)),
        momentum(rounded(o.momentum)),
        rest(rounded(1 - o.momentum)) {}
  static NW_INLINE double rate(const AdaptiveSettings& o, const AdaptiveScalars& now) {
    return now.d * o.rate / now.first_norm;
  }
  NW_INLINE Vec accumulate(Vec p, Vec g, Vec* s, Vec* sums) const {
    sums[0] = fma(g, s[0], sums[0]);
    s[0] = fma(rate_, g, s[0]);
    sums[1] = fma(s[0], s[0], sums[1]);
    return p;
  }
  static NW_INLINE bool estimate(const AdaptiveSettings& o, double rate, const double* sums, AdaptiveScalars& now) {
    if (sums[1] == 0) return false;
    now.weighted += rate * sums[0];
    now.d = grown(now.d, 2 * now.weighted / ::sqrt(sums[1]), o.growth);
    return true;
  }
  NW_INLINE Vec apply(Vec p, Vec, Vec* s) const { return fma(momentum, p, rest * fnma(factor, s[0], s[1])); }
};

// Mishchenko and Defazio, "Prodigy: an expeditiously adaptive parameter-free learner", 2023. s: m (null with beta1 0),
// v, s, the first parameter; the last two may be slices. Sums: numerator, |s|.
struct Prodigy : AdaptiveRule {
  static constexpr int kStates = 4, kSums = 2;
  static constexpr int kRead1 = 15, kWritten1 = 7, kRead2 = 3, kWritten2 = 0;
  static constexpr bool kReadsParam = true, kSliced = true;
  static constexpr int kOrigin = 3, kUnweighted = 1;
  static NW_INLINE bool reads_gradient(const AdaptiveSettings& o) { return o.beta1 == 0; }
  Vec beta1, pull_m, beta2, pull_v, beta3, pull_s, eps, step, d, decay;
  bool plain;
  NW_INLINE Prodigy(const AdaptiveSettings& o, const AdaptiveGroup& group, const AdaptiveNow& now)
      : beta1(rounded(o.beta1)),
        pull_m(rounded(now.d * (1 - o.beta1))),
        beta2(rounded(o.beta2)),
        pull_v(rounded(now.d * now.d * (1 - o.beta2))),
        beta3(rounded(o.beta3)),
        pull_s(rounded(now.d / o.d0 * (o.safeguard ? now.d : now.rate))),
        eps(rounded(now.d * group.eps)),
        step(rounded(group.factor * now.rate)),
        d(rounded(now.d)),
        decay(rounded(o.decoupled ? group.factor * now.rate * group.decay : 0)),
        plain(o.beta1 == 0) {}
  NW_INLINE void average(Vec g, Vec* s) const {
    if (!plain) s[0] = fma(beta1, s[0], pull_m * g);
    s[1] = fma(beta2, s[1], pull_v * g * g);
  }
  NW_INLINE void trace(Vec p, Vec g, Vec* s, Vec* sums) const {
    sums[0] = fma(g, s[3] - p, sums[0]);
    s[2] = fma(beta3, s[2], pull_s * g);
    sums[1] = sums[1] + abs(s[2]);
  }
  NW_INLINE Vec accumulate(Vec p, Vec g, Vec* s, Vec* sums) const {
    average(g, s);
    trace(p, g, s, sums);
    return p;
  }
  static NW_INLINE bool estimate(const AdaptiveSettings& o, double rate, const double* sums, AdaptiveScalars& now) {
    if (sums[1] == 0) return false;
    now.weighted = o.beta3 * now.weighted + now.d / o.d0 * rate * sums[0];
    now.denominator = sums[1];
    const double found = o.coefficient * now.weighted / now.denominator;
    if (now.d == o.d0 && now.d < found) now.d = found;
    if (now.d_max < found) now.d_max = found;
    const double limit = now.d * o.growth;
    now.d = limit < now.d_max ? limit : now.d_max;
    return true;
  }
  NW_INLINE Vec apply(Vec p, Vec g, Vec* s) const {
    // Rounded once: what is lost of p is missing in p0 - p, the numerator.
    return p - fma(step, (plain ? d * g : s[0]) / (sqrt(s[1]) + eps), decay * p);
  }
};

}  // namespace
}  // namespace noisewright::NOISEWRIGHT_TARGET
