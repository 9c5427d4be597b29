// One line for each direction of each op.
#include "ops/ops.h"

#include "binding/define.h"
#include "binding/runtime.h"

namespace noisewright::binding {

void define_ops(napi_env env, napi_value exports) {
  def(env, exports, "fill", &fill);
  def(env, exports, "randomUniform", &random_uniform);
  def(env, exports, "randomNormal", &random_normal);
  def(env, exports, "peakProbe", &peak_probe);
  def(env, exports, "addForward", &add_forward);
}

}  // namespace noisewright::binding
