// What the driver refuses becomes an Error that names the running op and the driver's code.
#pragma once
#include "core/check.h"
#include "core/device.h"
#include "cuda/driver.h"

namespace noisewright::cuda {

// Events report what went wrong in the work before them.
constexpr const char* kOrAKernelBefore = ", or a kernel before it (NOISEWRIGHT_CUDA_WAIT=1 tells which)";

// What the driver says to `doing`, and what kind of error it is.
std::string refusal(const Driver& driver, const std::string& doing, Result result);
ErrorKind kind_of(Result result);

// Device thread only.
[[noreturn]] void fail_here(ErrorKind kind, const std::string& text, const std::string& driver_code = "");
[[noreturn]] void fail_driver(const Driver& driver, const std::string& doing, Result result);

inline void check(const Driver& driver, const std::string& doing, Result result) {
  if (result) fail_driver(driver, doing, result);
}

}  // namespace noisewright::cuda
