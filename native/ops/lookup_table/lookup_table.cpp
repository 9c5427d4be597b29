#include "ops/lookup_table/lookup_table.h"

#include "core/launch.h"
#include "ops/ops.h"

namespace noisewright {

Tensor lookup_table(const Tensor& x, const Tensor& table) {
  CHECK("lookupTable", x.dtype == DType::kUint8 && x.contiguous(), "expected contiguous uint8");
  CHECK("lookupTable", table.dtype == DType::kUint8 && table.contiguous() && table.count() == 256,
        "expected a table of 256 bytes");
  Tensor y = empty(x, x.shape, DType::kUint8);
  const LookupTableParams shape{nullptr, nullptr, nullptr, x.count()};
  launch("lookupTable", {x, table}, {y}, [=, p = shape]() mutable {
    p.x = x.data_as<uint8_t>();
    p.table = table.data_as<uint8_t>();
    p.y = y.data_as<uint8_t>();
    run_kernel("lookupTable", {cpu::lookup_table, cuda::lookup_table}, p);
  });
  return y;
}

}  // namespace noisewright
