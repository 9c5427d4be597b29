// A parameter read from a file, converted and brought into memory's layout block by block, while it is in the cache.
#pragma once
#include "core/cpu_target.h"
#include "core/dtype.h"

namespace noisewright {

enum class FileFloat { kFloat64, kFloat32, kFloat16, kBFloat16, kFloat8E4M3 };

// In the file [rows, channels, taps], in memory [rows, taps, channels].
struct LoadParameterParams {
  // Fills `to` from a position of the file; false when it cannot, and the rest of the result then does not matter.
  bool (*read)(void* file, int64_t offset, int64_t bytes, void* to);
  void* file;
  int64_t offset;
  FileFloat from;
  int64_t rows, channels, taps;
  void* y;
  DType to;  // any float type
};

CPU_KERNEL(load_parameter, LoadParameterParams)

}  // namespace noisewright
