// A picture at another size straight from its file, off the device's threads: a few rows of the file are decoded,
// turned upright and resized at a time, so that they stay in the cache and no memory for the whole picture is needed.
#pragma once
#include <cstddef>
#include <cstdint>

#include "ops/resize_image/resize_plan.h"

namespace noisewright {

// orientation: EXIF's, 1 to 8; `request` is of the upright picture, of three channels. `result` [rows, columns, 3] has
// the same bits as when the picture is decoded, turned and resized as a whole. False when the file cannot be read this
// way: EncodedPicture does not open it, it has another size, or is damaged anywhere.
bool resize_encoded(const uint8_t* file, size_t length, int orientation, const ResizeRequest& request, uint8_t* result);

// One with pixels: x [in_height, in_width, channels].
void resize_pixels(const ResizePlan& plan, const uint8_t* x, uint8_t* result);

}  // namespace noisewright
