// An encoded picture read from top to bottom a few rows at a time, so that no memory for all of its pixels is needed:
// touching that for the first time costs a third of what decoding a large JPEG does. The decoder is libvips, in the
// copy that the npm package sharp has loaded into this process; its C functions are looked up by name. Where there is
// no such copy, or it does not export them (other systems than Linux, sharp in WebAssembly), nothing can be opened.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>

namespace noisewright {

class EncodedPicture {
 public:
  // Null when libvips is missing, does not know the format, or would give other pixels than 8-bit RGB.
  static std::unique_ptr<EncodedPicture> open(const uint8_t* bytes, size_t length);
  ~EncodedPicture();
  EncodedPicture(const EncodedPicture&) = delete;
  EncodedPicture& operator=(const EncodedPicture&) = delete;

  int64_t width() const { return width_; }
  int64_t height() const { return height_; }
  // Rows [begin, end) to `to`, [rows, width, 3]; begin must not be less than the last end. False when the picture is
  // damaged before `end`. Rows that are passed over are decoded too.
  bool read(int64_t begin, int64_t end, uint8_t* to);

 private:
  EncodedPicture(void* image, void* region, int64_t width, int64_t height)
      : image_(image), region_(region), width_(width), height_(height) {}

  void* image_;
  void* region_;
  int64_t width_, height_;
};

}  // namespace noisewright
