#include "cuda/failure.h"

namespace noisewright::cuda {

namespace {

// After these the driver refuses everything else in this process.
bool context_is_lost(Result result) {
  return result == 214 || (result >= 700 && result <= 719 && result != 701 && result != 708);
}

}  // namespace

void fail_here(ErrorKind kind, const std::string& text, const std::string& driver_code) {
  throw Error(kind, std::string(Device::running()->running_op()) + ": " + text, driver_code);
}

std::string refusal(const Driver& driver, const std::string& doing, Result result) {
  std::string text = doing + ": the CUDA driver says " + describe(driver, result);
  if (context_is_lost(result))
    text += "; the GPU cannot be used again in this process: save what is on the CPU and restart";
  return text;
}

ErrorKind kind_of(Result result) { return result == kErrorOutOfMemory ? ErrorKind::kOutOfMemory : ErrorKind::kDevice; }

void fail_driver(const Driver& driver, const std::string& doing, Result result) {
  fail_here(kind_of(result), refusal(driver, doing, result), code_of(driver, result));
}

}  // namespace noisewright::cuda
