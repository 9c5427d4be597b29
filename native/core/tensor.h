// A typed, strided view of a storage. Cheap to copy; copies share the storage.
#pragma once
#include <algorithm>
#include <vector>

#include "core/dtype.h"
#include "core/storage.h"

namespace noisewright {

using Shape = std::vector<int64_t>;

inline int64_t count_of(const Shape& shape) {
  int64_t count = 1;
  for (int64_t size : shape) count *= size;
  return count;
}

inline Shape packed_strides(const Shape& shape) {
  Shape strides(shape.size());
  int64_t stride = 1;
  for (size_t axis = shape.size(); axis-- > 0;) {
    strides[axis] = stride;
    stride *= shape[axis];
  }
  return strides;
}

struct Tensor {
  std::shared_ptr<Storage> storage;
  Shape shape;
  Shape strides;  // in elements
  int64_t offset = 0;
  DType dtype = DType::kFloat32;

  Device* device() const { return storage->device(); }
  int64_t count() const { return count_of(shape); }
  size_t bytes() const { return static_cast<size_t>(count()) * item_size(dtype); }
  int rank() const { return static_cast<int>(shape.size()); }
  int64_t size(int axis) const { return shape[axis < 0 ? shape.size() + axis : axis]; }
  bool contiguous() const { return strides == packed_strides(shape) || count() == 0; }

  // Device thread only.
  void* data() const { return static_cast<char*>(storage->data()) + offset * static_cast<int64_t>(item_size(dtype)); }
  template <class T>
  T* data_as() const {
    return static_cast<T*>(data());
  }
};

using Tensors = std::vector<Tensor>;

inline Tensor make_tensor(Device* device, Shape shape, DType dtype) {
  Tensor t;
  t.strides = packed_strides(shape);
  t.shape = std::move(shape);
  t.dtype = dtype;
  t.storage = std::make_shared<Storage>(device, t.bytes());
  return t;
}

// A fresh tensor with no contents yet, on the device and, by default, with the dtype of `like`.
inline Tensor empty(const Tensor& like, Shape shape) {
  return make_tensor(like.device(), std::move(shape), like.dtype);
}
inline Tensor empty(const Tensor& like, Shape shape, DType dtype) {
  return make_tensor(like.device(), std::move(shape), dtype);
}
inline Tensor empty_like(const Tensor& like) { return make_tensor(like.device(), like.shape, like.dtype); }

}  // namespace noisewright
