#include "ops/quantize_blockwise/quantize_blockwise.h"

#include <cstring>

#include "core/launch.h"
#include "ops/ops.h"

namespace noisewright {

namespace {

const QuantizationMap& map_for(bool is_signed) {
  return is_signed ? signed_quantization_map() : unsigned_quantization_map();
}

int64_t block_count(int64_t count) { return (count + kQuantizationBlock - 1) / kQuantizationBlock; }

}  // namespace

std::tuple<Tensor, Tensor> quantize_blockwise(const Tensor& x, bool is_signed) {
  CHECK("quantizeBlockwise", x.contiguous(), "expected a contiguous tensor");
  Tensor codes = empty(x, x.shape, DType::kUint8), absmax = empty(x, {block_count(x.count())}, DType::kFloat32);
  QuantizeBlockwiseParams p{};
  p.count = x.count();
  p.map = &map_for(is_signed);
  p.dtype = x.dtype;
  launch("quantizeBlockwise", {x}, {codes, absmax}, [=]() mutable {
    p.x = x.data();
    p.codes = codes.data_as<uint8_t>();
    p.absmax = absmax.data_as<float>();
    run_kernel("quantizeBlockwise", {cpu::quantize_blockwise, cuda::quantize_blockwise}, p);
  });
  return {codes, absmax};
}

Tensor dequantize_blockwise(const Tensor& codes, const Tensor& absmax, bool is_signed) {
  CHECK("dequantizeBlockwise", codes.dtype == DType::kUint8 && codes.contiguous(), "codes must be contiguous uint8");
  CHECK("dequantizeBlockwise",
        absmax.dtype == DType::kFloat32 && absmax.contiguous() && absmax.count() == block_count(codes.count()),
        "absmax must be float32, one for every 256 codes");
  Tensor y = empty(codes, codes.shape, DType::kFloat32);
  QuantizeBlockwiseParams p{};
  p.count = codes.count();
  p.map = &map_for(is_signed);
  launch("dequantizeBlockwise", {codes, absmax}, {y}, [=]() mutable {
    p.codes = codes.data_as<uint8_t>();
    p.absmax = absmax.data_as<float>();
    p.y = y.data_as<float>();
    run_kernel("dequantizeBlockwise", {cpu::dequantize_blockwise, cuda::dequantize_blockwise}, p);
  });
  return y;
}

Tensor quantization_map(bool is_signed) {
  Tensor y = make_tensor(cpu_device(), {256}, DType::kFloat32);
  launch("quantizationMap", {}, {y}, [=] { std::memcpy(y.data(), map_for(is_signed).value, 256 * sizeof(float)); });
  return y;
}

}  // namespace noisewright
