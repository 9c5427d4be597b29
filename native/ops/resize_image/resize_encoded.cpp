#include "ops/resize_image/resize_encoded.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "core/encoded_picture.h"

namespace noisewright {

namespace {

constexpr int64_t kBand = 16;  // rows of the result, or columns when the picture lies on its side, made at a time
constexpr int64_t kChannels = 3;

// Scratch memory that is kept from band to band.
class Memory {
 public:
  uint8_t* at_least(int64_t bytes) {
    constexpr uintptr_t kAlignment = 64;
    const size_t size = static_cast<size_t>(bytes) + kAlignment;
    if (size > bytes_.size()) bytes_.resize(size);
    return bytes_.data() + (kAlignment - reinterpret_cast<uintptr_t>(bytes_.data()) % kAlignment);
  }

 private:
  std::vector<uint8_t> bytes_;
};

void resize_with(const ResizePlan& plan, const uint8_t* x, uint8_t* result, Memory& scratch) {
  cpu::resize_image(plan.params(x, result, scratch.at_least(plan.scratch_bytes(1))));
}

// How rows of the file become the upright picture: rows and columns change places last.
struct Turn {
  explicit Turn(int orientation)
      : on_its_side(orientation >= 5),
        rows_reversed(orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7),
        columns_reversed(orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8) {}
  bool any() const { return on_its_side || rows_reversed || columns_reversed; }
  bool on_its_side, rows_reversed, columns_reversed;
};

// x [rows, columns, 3] to y, [columns, rows, 3] when it lies on its side.
void turn_upright(const Turn& turn, const uint8_t* x, int64_t rows, int64_t columns, uint8_t* y) {
  const int64_t row_bytes = columns * kChannels;
  if (!turn.columns_reversed && !turn.on_its_side) {
    for (int64_t row = 0; row < rows; row++)
      std::memcpy(y + row * row_bytes, x + (turn.rows_reversed ? rows - 1 - row : row) * row_bytes, row_bytes);
    return;
  }
  const int64_t row_step = turn.rows_reversed ? -row_bytes : row_bytes,
                column_step = turn.columns_reversed ? -kChannels : kChannels;
  const uint8_t* corner =
      x + (turn.rows_reversed ? (rows - 1) * row_bytes : 0) + (turn.columns_reversed ? (columns - 1) * kChannels : 0);
  const int64_t tall = turn.on_its_side ? columns : rows, wide = turn.on_its_side ? rows : columns,
                tall_step = turn.on_its_side ? column_step : row_step,
                wide_step = turn.on_its_side ? row_step : column_step;
  for (int64_t i = 0; i < tall; i++) {
    const uint8_t* from = corner + i * tall_step;
    for (int64_t j = 0; j < wide; j++, from += wide_step, y += kChannels) std::memcpy(y, from, kChannels);
  }
}

// The rows of a file that one band needs; what the next band needs of them is not decoded again.
class Rows {
 public:
  explicit Rows(EncodedPicture& picture) : picture_(picture) {}

  // Rows [begin, end), both not less than the last; null when they are damaged.
  const uint8_t* read(int64_t begin, int64_t end) {
    const int64_t row_bytes = picture_.width() * kChannels, kept = std::max<int64_t>(end_ - begin, 0);
    if (static_cast<int64_t>(rows_.size()) < (end - begin) * row_bytes) rows_.resize((end - begin) * row_bytes);
    if (kept > 0) std::memmove(rows_.data(), rows_.data() + (begin - begin_) * row_bytes, kept * row_bytes);
    if (begin + kept < end && !picture_.read(begin + kept, end, rows_.data() + kept * row_bytes)) return nullptr;
    begin_ = begin;
    end_ = std::max(end_, end);
    return rows_.data();
  }

  // Damage below the window is damage too.
  bool read_to_the_end() { return end_ == picture_.height() || read(picture_.height() - 1, picture_.height()); }

 private:
  EncodedPicture& picture_;
  std::vector<uint8_t> rows_;
  int64_t begin_ = 0, end_ = 0;
};

}  // namespace

void resize_pixels(const ResizePlan& plan, const uint8_t* x, uint8_t* result) {
  Memory scratch;
  resize_with(plan, x, result, scratch);
}

bool resize_encoded(const uint8_t* file, size_t length, int orientation, const ResizeRequest& request,
                    uint8_t* result) {
  const Turn turn(orientation);
  const ResizePlan plan(request);
  const auto picture = EncodedPicture::open(file, length);
  const int64_t file_height = turn.on_its_side ? request.in_width : request.in_height,
                file_width = turn.on_its_side ? request.in_height : request.in_width;
  if (!picture || picture->width() != file_width || picture->height() != file_height) return false;
  Rows rows(*picture);
  Memory scratch, upright, part;
  const int64_t positions = turn.on_its_side ? request.columns : request.rows, bands = (positions + kBand - 1) / kBand;
  for (int64_t i = 0; i < bands; i++) {
    // The file is read from top to bottom, whatever that is of the upright picture.
    const int64_t first = (turn.rows_reversed ? bands - 1 - i : i) * kBand, count = std::min(kBand, positions - first);
    int64_t begin, end;
    const ResizePlan band =
        turn.on_its_side ? plan.column_band(first, count, &begin, &end) : plan.row_band(first, count, &begin, &end);
    const int64_t file_begin = turn.rows_reversed ? file_height - end : begin;
    const uint8_t* x = rows.read(file_begin, file_begin + end - begin);
    if (!x) return false;
    if (turn.any()) {
      uint8_t* turned = upright.at_least((end - begin) * file_width * kChannels);
      turn_upright(turn, x, end - begin, file_width, turned);
      x = turned;
    }
    if (!turn.on_its_side) {
      resize_with(band, x, result + first * request.columns * kChannels, scratch);
      continue;
    }
    uint8_t* columns = part.at_least(request.rows * count * kChannels);
    resize_with(band, x, columns, scratch);
    for (int64_t row = 0; row < request.rows; row++)
      std::memcpy(result + (row * request.columns + first) * kChannels, columns + row * count * kChannels,
                  count * kChannels);
  }
  return rows.read_to_the_end();
}

}  // namespace noisewright
