#include "core/encoded_picture.h"

#ifdef __linux__
#include <dlfcn.h>
#include <link.h>

#include <algorithm>
#include <cstring>
#include <mutex>
#include <string>

namespace noisewright {

namespace {

constexpr int kSrgb = 22;      // VIPS_INTERPRETATION_sRGB
constexpr int kUchar = 0;      // VIPS_FORMAT_UCHAR
constexpr int64_t kRows = 16;  // read at a time: as many as a JPEG block with halved colours has

struct Libvips {
  void* (*image_new_from_buffer)(const void* bytes, size_t length, const char* options, ...);
  int (*image_get_width)(void* image);
  int (*image_get_height)(void* image);
  int (*image_get_bands)(void* image);
  int (*image_get_format)(void* image);
  int (*image_get_interpretation)(void* image);
  void* (*region_new)(void* image);
  uint8_t* (*region_fetch)(void* region, int left, int top, int width, int height, size_t* length);
  void (*error_clear)();
  void (*thread_shutdown)();
  void (*g_object_unref)(void* object);
  void (*g_free)(void* memory);
};

int keep_if_libvips(dl_phdr_info* info, size_t, void* found) {
  const char* file = std::strrchr(info->dlpi_name, '/');
  if (!file || std::strncmp(file, "/libvips", 8) != 0) return 0;
  *static_cast<std::string*>(found) = info->dlpi_name;
  return 1;
}

template <class F>
bool look_up(void* library, const char* name, F*& function) {
  function = reinterpret_cast<F*>(dlsym(library, name));
  return function != nullptr;
}

bool load(Libvips& vips) {
  std::string path;
  dl_iterate_phdr(keep_if_libvips, &path);
  void* library = path.empty() ? nullptr : dlopen(path.c_str(), RTLD_LAZY | RTLD_NOLOAD);
  return library && look_up(library, "vips_image_new_from_buffer", vips.image_new_from_buffer) &&
         look_up(library, "vips_image_get_width", vips.image_get_width) &&
         look_up(library, "vips_image_get_height", vips.image_get_height) &&
         look_up(library, "vips_image_get_bands", vips.image_get_bands) &&
         look_up(library, "vips_image_get_format", vips.image_get_format) &&
         look_up(library, "vips_image_get_interpretation", vips.image_get_interpretation) &&
         look_up(library, "vips_region_new", vips.region_new) &&
         look_up(library, "vips_region_fetch", vips.region_fetch) &&
         look_up(library, "vips_error_clear", vips.error_clear) &&
         look_up(library, "vips_thread_shutdown", vips.thread_shutdown) &&
         look_up(library, "g_object_unref", vips.g_object_unref) && look_up(library, "g_free", vips.g_free);
}

// Null as long as no other package has loaded it.
const Libvips* libvips() {
  static std::mutex mutex;
  static Libvips vips;
  static bool loaded = false;
  const std::lock_guard<std::mutex> lock(mutex);
  loaded = loaded || load(vips);
  return loaded ? &vips : nullptr;
}

}  // namespace

std::unique_ptr<EncodedPicture> EncodedPicture::open(const uint8_t* bytes, size_t length) {
  const Libvips* vips = libvips();
  if (!vips) return nullptr;
  void* image = vips->image_new_from_buffer(bytes, length, "access=sequential,fail_on=warning", nullptr);
  void* region = nullptr;
  if (image && vips->image_get_bands(image) == 3 && vips->image_get_format(image) == kUchar &&
      vips->image_get_interpretation(image) == kSrgb)
    region = vips->region_new(image);
  if (region)
    return std::unique_ptr<EncodedPicture>(
        new EncodedPicture(image, region, vips->image_get_width(image), vips->image_get_height(image)));
  if (image) vips->g_object_unref(image);
  vips->error_clear();
  vips->thread_shutdown();
  return nullptr;
}

EncodedPicture::~EncodedPicture() {
  const Libvips* vips = libvips();
  vips->g_object_unref(region_);
  vips->g_object_unref(image_);
  vips->error_clear();
  vips->thread_shutdown();
}

bool EncodedPicture::read(int64_t begin, int64_t end, uint8_t* to) {
  const Libvips* vips = libvips();
  for (int64_t row = begin; row < end;) {
    // Up to the next multiple, so that each block of a JPEG is asked for once.
    const int64_t next = std::min(end, (row / kRows + 1) * kRows);
    size_t length = 0;
    uint8_t* rows = vips->region_fetch(region_, 0, static_cast<int>(row), static_cast<int>(width_),
                                       static_cast<int>(next - row), &length);
    const bool complete = rows && length == static_cast<size_t>((next - row) * width_ * 3);
    if (complete) std::memcpy(to + (row - begin) * width_ * 3, rows, length);
    vips->g_free(rows);
    if (!complete) return false;
    row = next;
  }
  return true;
}

}  // namespace noisewright

#else

namespace noisewright {

std::unique_ptr<EncodedPicture> EncodedPicture::open(const uint8_t*, size_t) { return nullptr; }
EncodedPicture::~EncodedPicture() = default;
bool EncodedPicture::read(int64_t, int64_t, uint8_t*) { return false; }

}  // namespace noisewright

#endif
