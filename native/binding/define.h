// def(exports, "name", &function) makes a C++ function callable from JavaScript: arguments and result are converted by
// its signature, and exceptions become JavaScript errors.
#pragma once
#include <type_traits>

#include "binding/convert.h"
#include "binding/environment.h"
#include "core/launch.h"

namespace noisewright::binding {

constexpr size_t kMaxArguments = 24;

template <class R, class... A, size_t... I>
napi_value call_converted(napi_env env, R (*function)(A...), napi_value* arguments, std::index_sequence<I...>) {
  if constexpr (std::is_void_v<R>) {
    function(Convert<std::decay_t<A>>::from(env, arguments[I])...);
    return nullptr;
  } else {
    return Convert<R>::to(env, function(Convert<std::decay_t<A>>::from(env, arguments[I])...));
  }
}

template <class R, class... A>
napi_value trampoline(napi_env env, napi_callback_info info) {
  static_assert(sizeof...(A) <= kMaxArguments);
  return guarded(env, [&] {
    napi_value arguments[kMaxArguments];
    size_t count = kMaxArguments;
    void* function = nullptr;
    ok(env, napi_get_cb_info(env, info, &count, arguments, nullptr, &function), "arguments");
    enter_call(env);
    return call_converted(env, reinterpret_cast<R (*)(A...)>(function), arguments, std::index_sequence_for<A...>{});
  });
}

template <class R, class... A>
void def(napi_env env, napi_value exports, const char* name, R (*function)(A...)) {
  napi_value f;
  ok(env,
     napi_create_function(env, name, NAPI_AUTO_LENGTH, &trampoline<R, A...>, reinterpret_cast<void*>(function), &f),
     name);
  ok(env, napi_set_named_property(env, exports, name, f), name);
}

}  // namespace noisewright::binding
