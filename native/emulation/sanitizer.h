// What AddressSanitizer has to know about stacks that it has not made. Without it these functions do nothing.
#pragma once
#include <cstddef>

#ifdef __SANITIZE_ADDRESS__
#include <pthread.h>
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

namespace noisewright::emulation {

struct StackBounds {
  const void* bottom = nullptr;
  size_t bytes = 0;
};

#ifdef __SANITIZE_ADDRESS__

inline StackBounds stack_of_this_thread() {
  pthread_attr_t attributes;
  void* bottom = nullptr;
  size_t bytes = 0;
  pthread_getattr_np(pthread_self(), &attributes);
  pthread_attr_getstack(&attributes, &bottom, &bytes);
  pthread_attr_destroy(&attributes);
  return {bottom, bytes};
}
// Around each switch. state: null before the last switch from a stack and after the first to one.
inline void before_switch(void** state, const StackBounds& to) {
  __sanitizer_start_switch_fiber(state, to.bottom, to.bytes);
}
inline void after_switch(void* state) { __sanitizer_finish_switch_fiber(state, nullptr, nullptr); }
// Before a stack is used anew: the frames that were left on it never returned.
inline void forget_frames(const StackBounds& stack) { __asan_unpoison_memory_region(stack.bottom, stack.bytes); }

#else

inline StackBounds stack_of_this_thread() { return {}; }
inline void before_switch(void**, const StackBounds&) {}
inline void after_switch(void*) {}
inline void forget_frames(const StackBounds&) {}

#endif

}  // namespace noisewright::emulation
