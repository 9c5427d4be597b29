#include "core/device.h"

namespace noisewright {

Device* cuda_device(std::string* why_not) {
  if (why_not) *why_not = "no CUDA device: this build has no CUDA support";
  return nullptr;
}

}  // namespace noisewright
