// Every byte of a tensor replaced by the table's entry for it: uint8 of any shape, table uint8 [256].
#pragma once
#include <cstdint>

#include "core/cpu_target.h"

namespace noisewright {

struct LookupTableParams {
  const uint8_t* x;
  const uint8_t* table;
  uint8_t* y;
  int64_t count;
};

CPU_KERNEL(lookup_table, LookupTableParams)
namespace cuda {
void lookup_table(const LookupTableParams&);
}

}  // namespace noisewright
