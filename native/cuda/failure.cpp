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

void fail_driver(const Driver& driver, const std::string& doing, Result result) {
  std::string text = doing + ": the CUDA driver says " + describe(driver, result);
  if (context_is_lost(result))
    text += "; the GPU cannot be used again in this process: save what is on the CPU and restart";
  fail_here(result == kErrorOutOfMemory ? ErrorKind::kOutOfMemory : ErrorKind::kDevice, text, code_of(driver, result));
}

}  // namespace noisewright::cuda
