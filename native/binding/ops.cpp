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
  def(env, exports, "concatBatchForward", &concat_batch_forward);
  def(env, exports, "posteriorSampleForward", &posterior_sample_forward);
  def(env, exports, "matmulForward", &matmul_forward);
  def(env, exports, "matmulBackward", &matmul_backward);
  def(env, exports, "linearForward", &linear_forward);
  def(env, exports, "linearBackward", &linear_backward);
  def(env, exports, "conv2dForward", &conv2d_forward);
  def(env, exports, "conv2dBackward", &conv2d_backward);
  def(env, exports, "attentionForward", &attention_forward);
  def(env, exports, "attentionBackward", &attention_backward);
  def(env, exports, "softmaxForward", &softmax_forward);
  def(env, exports, "softmaxBackward", &softmax_backward);
  def(env, exports, "activationForward", &activation_forward);
  def(env, exports, "activationBackward", &activation_backward);
  def(env, exports, "gegluForward", &geglu_forward);
  def(env, exports, "gegluBackward", &geglu_backward);
  def(env, exports, "groupNormForward", &group_norm_forward);
  def(env, exports, "groupNormBackward", &group_norm_backward);
  def(env, exports, "layerNormForward", &layer_norm_forward);
  def(env, exports, "layerNormBackward", &layer_norm_backward);
}

}  // namespace noisewright::binding
