// Products are few and rarely too large: one after the other, each factor in parallel.
#include "ops/limit_norms/limit_norms.h"

#include <math.h>

#include "core/parallel.h"
#include "core/simd.h"

namespace noisewright::NOISEWRIGHT_TARGET {

void limit_norms(const LimitNormsParams& p) {
  double sum = 0, largest = 0;
  int64_t scaled = 0;
  for (int64_t i = 0; i < p.product_count; i++) {
    const LimitNormsProduct& product = p.products[i];
    // Rounding can leave the square of nothing below zero.
    const double square = *product.square, norm = product.scale * (square < 0 ? 0 : ::sqrt(square));
    const bool too_large = norm > p.max_norm;  // false for NaN, which no factor mends
    const double after = too_large ? p.max_norm : norm;
    sum += after;
    if (!(after <= largest)) largest = after;
    if (!too_large) continue;
    scaled++;
    const Vec factor = broadcast(static_cast<float>(::pow(p.max_norm / norm, 1.0 / product.factor_count)));
    for (int64_t f = 0; f < product.factor_count; f++) {
      const LimitNormsFactor& part = p.factors[product.first_factor + f];
      parallel_chunks(part.count, 16384, [&](int64_t begin, int64_t end) {
        for (int64_t j = begin; j < end; j += kLanes)
          store_up_to(part.x + j, load_up_to(part.x + j, end - j) * factor, end - j);
      });
    }
  }
  p.y[0] = static_cast<float>(scaled);
  p.y[1] = static_cast<float>(sum / static_cast<double>(p.product_count));
  p.y[2] = static_cast<float>(largest);
}

}  // namespace noisewright::NOISEWRIGHT_TARGET
