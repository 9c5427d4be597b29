// Activations that linear layers can apply to their result. The order is part of the boundary.
#pragma once
#include <cstdint>

namespace noisewright {

enum class Activation : int32_t { kNone, kSilu, kGelu, kQuickGelu };

}  // namespace noisewright
