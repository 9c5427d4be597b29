// What a resize needs besides the pixels, computed before it runs.
#pragma once
#include <string>
#include <vector>

#include "ops/resize_image/resize_image.h"

namespace noisewright {

// The picture is resized to height x width, of which only a window is wanted.
struct ResizeRequest {
  int64_t in_height, in_width, channels, height, width;
  int64_t top, left, rows, columns;
  std::string method;
};

class ResizePlan {
 public:
  explicit ResizePlan(const ResizeRequest& request);

  int64_t scratch_bytes(int threads) const;
  // The plan for rows [first, first + count) of this one's window, whose picture is only the source rows [begin, end).
  ResizePlan row_band(int64_t first, int64_t count, int64_t* begin, int64_t* end) const;
  // The same for columns.
  ResizePlan column_band(int64_t first, int64_t count, int64_t* begin, int64_t* end) const;

  // scratch: of scratch_bytes(threads), aligned to 64 bytes. Points into this plan.
  ResizeImageParams params(const uint8_t* x, uint8_t* y, uint8_t* scratch) const;

 private:
  struct AxisTables {
    std::vector<int32_t> index, start, wide_weights;
    std::vector<float> weights;
    std::vector<int16_t> fixed_weights;
    int64_t block = 1, low = 0, high = 0;
  };
  struct Axis {
    int64_t from, to, begin, end;  // positions [begin, end) of `to` are wanted
  };
  static AxisTables blocks(const Axis& axis);
  static AxisTables area(const Axis& axis);
  static AxisTables linear(const Axis& axis);
  static AxisTables lanczos(const Axis& axis);
  template <class Filter>
  static AxisTables wide(const Axis& axis, double support, Filter&& filter);
  static AxisTables lanczos3(const Axis& axis);
  static AxisTables box(const Axis& axis);
  // resize_taps.cpp
  static AxisTables nearest(const Axis& axis);
  static AxisTables bilinear_rows(const Axis& axis);
  static AxisTables bilinear_columns(const Axis& axis);
  static AxisTables cubic(const Axis& axis);
  static void cut(AxisTables& axis, int64_t& positions, int64_t& source, int64_t first, int64_t count, int64_t* begin,
                  int64_t* end);
  static AxisTables part(const AxisTables& tables, int64_t positions, int64_t first, int64_t count);
  static ResizeAxis view(const AxisTables& tables);

  ResizeRequest request_;
  ResizeMode mode_;
  AxisTables rows_, columns_;
};

}  // namespace noisewright
