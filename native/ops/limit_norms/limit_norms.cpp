#include "ops/limit_norms/limit_norms.h"

#include "core/launch.h"
#include "ops/ops.h"

namespace noisewright {

Tensor limit_norms(std::vector<Tensor> factors, const std::vector<int64_t>& factor_counts, std::vector<Tensor> squares,
                   const std::vector<double>& scales, double max_norm) {
  constexpr const char* op = "limitNorms";
  CHECK(op, !squares.empty() && factor_counts.size() == squares.size() && scales.size() == squares.size(),
        "its lists differ in length");
  for (const Tensor& x : factors)
    CHECK(op, x.dtype == DType::kFloat32 && x.contiguous(), "factors must be contiguous float32");
  std::vector<LimitNormsProduct> products;
  int64_t first = 0;
  for (size_t i = 0; i < squares.size(); i++) {
    CHECK(op, squares[i].dtype == DType::kFloat32 && squares[i].count() == 1, "squares must be single float32 numbers");
    CHECK(op, factor_counts[i] > 0, "a product needs a factor");
    products.push_back({nullptr, scales[i], first, factor_counts[i]});
    first += factor_counts[i];
  }
  CHECK(op, first == static_cast<int64_t>(factors.size()), "its lists differ in length");
  LimitNormsParams p{};
  p.product_count = static_cast<int64_t>(products.size());
  p.max_norm = max_norm;
  Tensor y = empty(squares[0], {3});
  Tensors inputs = squares, updates = factors;
  launch(
      op, std::move(inputs), {y},
      [=, products = std::move(products)]() mutable {
        std::vector<LimitNormsFactor> parts;
        for (const Tensor& x : factors) parts.push_back({x.data_as<float>(), x.count()});
        for (size_t i = 0; i < products.size(); i++) products[i].square = squares[i].data_as<float>();
        p.factors = parts.data();
        p.products = products.data();
        p.y = y.data_as<float>();
        run_kernel(op, {cpu::limit_norms, cuda::limit_norms}, p);
      },
      std::move(updates));
  return y;
}

}  // namespace noisewright
