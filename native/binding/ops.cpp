// One line for each direction of each op.
#include "ops/ops.h"

#include "binding/define.h"
#include "binding/runtime.h"
#include "core/transfer.h"

namespace noisewright::binding {

void define_ops(napi_env env, napi_value exports) {
  def(env, exports, "fill", &fill);
  def(env, exports, "pagedZeros", &paged_zeros);
  def(env, exports, "pinnedZeros", &pinned_zeros);
  def(env, exports, "pageOut", &page_out);
  def(env, exports, "randomUniform", &random_uniform);
  def(env, exports, "randomNormal", &random_normal);
  def(env, exports, "peakProbe", &peak_probe);
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
  def(env, exports, "vaeEncodeForward", &vae_encode_forward);
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
  def(env, exports, "reduceForward", &reduce_forward);
  def(env, exports, "reduceBackward", &reduce_backward);
  def(env, exports, "scaleForward", &scale_forward);
  def(env, exports, "castForward", &cast_forward);
  def(env, exports, "contiguousForward", &contiguous_forward);
  def(env, exports, "sliceBackward", &slice_backward);
  def(env, exports, "concatChannelsForward", &concat_channels_forward);
  def(env, exports, "dropoutForward", &dropout_forward);
  def(env, exports, "elementLossForward", &element_loss_forward);
  def(env, exports, "elementLossBackward", &element_loss_backward);
  def(env, exports, "embeddingForward", &embedding_forward);
  def(env, exports, "embeddingBackward", &embedding_backward);
  def(env, exports, "timestepEmbeddingForward", &timestep_embedding_forward);
  def(env, exports, "addNoiseForward", &add_noise_forward);
  def(env, exports, "velocityForward", &velocity_forward);
  def(env, exports, "offsetNoiseForward", &offset_noise_forward);
  def(env, exports, "accumulate", &accumulate);
  def(env, exports, "copyInto", &copy_into);
  def(env, exports, "scaleInPlace", &scale_in_place);
  def(env, exports, "quantizeBlockwise", &quantize_blockwise);
  def(env, exports, "dequantizeBlockwise", &dequantize_blockwise);
  def(env, exports, "quantizationMap", &quantization_map);
  def(env, exports, "gradientNorm", &gradient_norm);
  def(env, exports, "limitNorms", &limit_norms);
  def(env, exports, "optimizerStep", &optimizer_step);
  def(env, exports, "adaptiveStep", &adaptive_step);
  def(env, exports, "tensorStep", &tensor_step);
  def(env, exports, "muonStep", &muon_step);
  def(env, exports, "resizeImage", &resize_image);
  def(env, exports, "imageToTensor", &image_to_tensor);
  def(env, exports, "shiftHue", &shift_hue);
  def(env, exports, "lookupTable", &lookup_table);
  def(env, exports, "loadParameter", &load_parameter);
  def(env, exports, "storeParameter", &store_parameter);
  def(env, exports, "expectFilled", &expect_filled);
}

}  // namespace noisewright::binding
