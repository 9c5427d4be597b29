#include "ops/limit_norms/limit_norms_cuda.h"

#include <vector>

#include "core/device.h"
#include "core/parallel.h"
#include "cuda/kernel_name.h"
#include "cuda/launch.h"

namespace noisewright::cuda {

// Bytes moved: the factors of products that are too large, read and written once.
void limit_norms(const LimitNormsParams& p) {
  std::vector<LimitNormsPart> parts;
  int64_t longest = 0;
  for (int64_t i = 0; i < p.product_count; i++)
    for (int64_t f = 0; f < p.products[i].factor_count; f++) {
      const LimitNormsFactor& factor = p.factors[p.products[i].first_factor + f];
      parts.push_back({factor.x, factor.count, i});
      longest = factor.count > longest ? factor.count : longest;
    }
  const auto part_count = static_cast<int64_t>(parts.size());
  const Scratch<LimitNormsProduct> products(p.product_count);
  const Scratch<LimitNormsPart> parts_on_device(part_count);
  const Scratch<float> scales(p.product_count);
  Device* device = Device::running();
  device->upload(products.data, p.products, static_cast<size_t>(p.product_count) * sizeof(LimitNormsProduct));
  device->upload(parts_on_device.data, parts.data(), parts.size() * sizeof(LimitNormsPart));
  LimitNormsTables t{products.data, parts_on_device.data, scales.data};
  launch_kernel("limit_norms_judge_kernel", {1}, {kLimitThreads}, 0, p, t);
  constexpr int64_t kMostParts = 65535;  // of one grid
  for (int64_t first = 0; first < part_count; first += kMostParts, t.parts += kMostParts) {
    const int64_t count = part_count - first < kMostParts ? part_count - first : kMostParts;
    launch_kernel("limit_norms_scale_kernel", {blocks_for(longest, kLimitBlock), count}, {kLimitThreads}, 0, t);
  }
}

}  // namespace noisewright::cuda
