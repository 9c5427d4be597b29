// One line for each direction of each op.
#include "ops/ops.h"

#include "binding/define.h"
#include "binding/runtime.h"

namespace noisewright::binding {

void define_ops(napi_env env, napi_value exports) {
  def(env, exports, "fill", &fill);
  def(env, exports, "randomUniform", &random_uniform);
  def(env, exports, "randomNormal", &random_normal);
  def(env, exports, "addForward", &add_forward);
  def(env, exports, "attentionForward", &attention_forward);
  def(env, exports, "attentionBackward", &attention_backward);
  def(env, exports, "softmaxForward", &softmax_forward);
  def(env, exports, "softmaxBackward", &softmax_backward);
}

}  // namespace noisewright::binding
