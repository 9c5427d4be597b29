// JavaScript values to C++ arguments and back, chosen from the C++ function's signature.
#pragma once
#include <node_api.h>

#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "binding/environment.h"
#include "core/tensor.h"

namespace noisewright::binding {

inline void ok(napi_env env, napi_status status, const char* what) {
  if (status == napi_ok) return;
  bool pending = false;
  napi_is_exception_pending(env, &pending);
  if (pending) throw PendingException{};
  throw Error(ErrorKind::kInternal, std::string("the JavaScript boundary failed: ") + what);
}

napi_value wrap_tensor(napi_env env, Tensor tensor);      // tensor_object.cpp
const Tensor& unwrap_tensor(napi_env env, napi_value v);  // throws for a disposed or foreign object

template <class T>
struct Convert;

template <>
struct Convert<double> {
  static double from(napi_env env, napi_value v) {
    double x;
    ok(env, napi_get_value_double(env, v, &x), "expected a number");
    return x;
  }
  static napi_value to(napi_env env, double x) {
    napi_value v;
    ok(env, napi_create_double(env, x, &v), "create number");
    return v;
  }
};
template <>
struct Convert<int64_t> {
  static int64_t from(napi_env env, napi_value v) {
    int64_t x;
    ok(env, napi_get_value_int64(env, v, &x), "expected a number");
    return x;
  }
  static napi_value to(napi_env env, int64_t x) { return Convert<double>::to(env, static_cast<double>(x)); }
};
template <>
struct Convert<uint64_t> {  // seeds and stream names: BigInt
  static uint64_t from(napi_env env, napi_value v) {
    uint64_t x;
    bool lossless;
    ok(env, napi_get_value_bigint_uint64(env, v, &x, &lossless), "expected a BigInt");
    return x;
  }
};
template <>
struct Convert<bool> {
  static bool from(napi_env env, napi_value v) {
    bool x;
    ok(env, napi_get_value_bool(env, v, &x), "expected a boolean");
    return x;
  }
  static napi_value to(napi_env env, bool x) {
    napi_value v;
    ok(env, napi_get_boolean(env, x, &v), "create boolean");
    return v;
  }
};
template <>
struct Convert<std::string> {
  static std::string from(napi_env env, napi_value v) {
    size_t length;
    ok(env, napi_get_value_string_utf8(env, v, nullptr, 0, &length), "expected a string");
    std::string text(length, '\0');
    ok(env, napi_get_value_string_utf8(env, v, text.data(), length + 1, &length), "expected a string");
    return text;
  }
  static napi_value to(napi_env env, const std::string& text) {
    napi_value v;
    ok(env, napi_create_string_utf8(env, text.data(), text.size(), &v), "create string");
    return v;
  }
};
template <>
struct Convert<DType> {
  static DType from(napi_env env, napi_value v) {
    const std::string name = Convert<std::string>::from(env, v);
    for (size_t i = 0; i < kDTypeCount; i++)
      if (name == kDTypeNames[i]) return static_cast<DType>(i);
    throw Error(ErrorKind::kInternal, "unknown dtype " + name);
  }
  static napi_value to(napi_env env, DType dtype) { return Convert<std::string>::to(env, name_of(dtype)); }
};
template <>
struct Convert<Tensor> {
  static const Tensor& from(napi_env env, napi_value v) { return unwrap_tensor(env, v); }
  static napi_value to(napi_env env, Tensor t) { return wrap_tensor(env, std::move(t)); }
};
template <class T>
struct Convert<std::optional<T>> {
  static std::optional<T> from(napi_env env, napi_value v) {
    napi_valuetype type;
    ok(env, napi_typeof(env, v, &type), "typeof");
    if (type == napi_null || type == napi_undefined) return std::nullopt;
    return Convert<T>::from(env, v);
  }
  static napi_value to(napi_env env, std::optional<T> x) {
    if (x) return Convert<T>::to(env, std::move(*x));
    napi_value v;
    ok(env, napi_get_null(env, &v), "null");
    return v;
  }
};
template <class T>
struct Convert<std::vector<T>> {
  static std::vector<T> from(napi_env env, napi_value v) {
    uint32_t length;
    ok(env, napi_get_array_length(env, v, &length), "expected an array");
    std::vector<T> list;
    list.reserve(length);
    for (uint32_t i = 0; i < length; i++) {
      napi_value item;
      ok(env, napi_get_element(env, v, i, &item), "array element");
      list.push_back(Convert<T>::from(env, item));
    }
    return list;
  }
  static napi_value to(napi_env env, std::vector<T> list) {
    napi_value v;
    ok(env, napi_create_array_with_length(env, list.size(), &v), "create array");
    for (size_t i = 0; i < list.size(); i++)
      ok(env, napi_set_element(env, v, static_cast<uint32_t>(i), Convert<T>::to(env, std::move(list[i]))),
         "set element");
    return v;
  }
};
template <class... T>
struct Convert<std::tuple<T...>> {
  static napi_value to(napi_env env, std::tuple<T...> items) {
    napi_value v;
    ok(env, napi_create_array_with_length(env, sizeof...(T), &v), "create array");
    uint32_t i = 0;
    std::apply(
        [&](auto&... item) {
          ((ok(env, napi_set_element(env, v, i++, Convert<T>::to(env, std::move(item))), "set")), ...);
        },
        items);
    return v;
  }
};

}  // namespace noisewright::binding
