export { accumulate, copyInto, scaleInPlace } from './accumulate.ts'
export {
  type AdaptiveGroup,
  type AdaptiveRule,
  type AdaptiveScalars,
  type AdaptiveSettings,
  type AdaptiveSlot,
  adaptiveRuleStates,
  adaptiveScalars,
  adaptiveStep,
  readAdaptiveScalars,
} from './adaptiveStep.ts'
export { add } from './add.ts'
export { addNoise, velocity } from './addNoise.ts'
export { type AttentionOptions, attention } from './attention.ts'
export { type CastOptions, cast } from './cast.ts'
export { concatBatch } from './concatBatch.ts'
export { concatChannels } from './concatChannels.ts'
export { contiguous } from './contiguous.ts'
export { type Conv2dOptions, conv2d } from './conv2d.ts'
export { div } from './div.ts'
export { type DropoutOptions, dropout } from './dropout.ts'
export { type ElementLossOptions, type ElementLossType, elementLoss } from './elementLoss.ts'
export { embedding, extendedEmbedding } from './embedding.ts'
export { geglu } from './geglu.ts'
export { gelu } from './gelu.ts'
export { gradientNorm } from './gradientNorm.ts'
export { type GroupNormOptions, groupNorm } from './groupNorm.ts'
export { groupNormSilu } from './groupNormSilu.ts'
export { type ImageWindow, imageToTensor } from './imageToTensor.ts'
export { type LayerNormOptions, layerNorm } from './layerNorm.ts'
export { limitNorms, type NormedProduct } from './limitNorms.ts'
export { type LinearOptions, linear } from './linear.ts'
export { type LoadParameterOptions, loadParameter } from './loadParameter.ts'
export { lookupTable } from './lookupTable.ts'
export { type MatmulOptions, matmul } from './matmul.ts'
export { mean } from './mean.ts'
export { mseLoss } from './mseLoss.ts'
export { mul } from './mul.ts'
export { type MuonSlot, type MuonStepOptions, muonStep } from './muonStep.ts'
export { type OffsetNoiseOptions, offsetNoise } from './offsetNoise.ts'
export {
  type OptimizerNumbers,
  type OptimizerRule,
  type OptimizerSlot,
  type OptimizerStepOptions,
  optimizerStep,
} from './optimizerStep.ts'
export { type PermuteOptions, permute } from './permute.ts'
export { posteriorSample } from './posteriorSample.ts'
export {
  blockCount,
  dequantizeBlockwise,
  QUANTIZATION_BLOCK,
  quantizationMap,
  quantizeBlockwise,
} from './quantizeBlockwise.ts'
export { quickGelu } from './quickGelu.ts'
export { type ReshapeOptions, reshape } from './reshape.ts'
export { type ResizeImageOptions, type ResizeMethod, resizeImage } from './resizeImage.ts'
export { type ScaleOptions, scale } from './scale.ts'
export { type ShiftHueOptions, shiftHue } from './shiftHue.ts'
export { silu } from './silu.ts'
export { type SliceOptions, slice } from './slice.ts'
export { type SliceChannelsOptions, sliceChannels } from './sliceChannels.ts'
export { softmax } from './softmax.ts'
export { type StoreParameterOptions, storeParameter } from './storeParameter.ts'
export { sub } from './sub.ts'
export { type ReduceOptions, sum } from './sum.ts'
export {
  type FactoredAxes,
  type TensorRule,
  type TensorSlot,
  type TensorStepOptions,
  tensorStep,
} from './tensorStep.ts'
export { type TimestepEmbeddingOptions, timestepEmbedding } from './timestepEmbedding.ts'
export { type TrainRowsOptions, trainRows } from './trainRows.ts'
export {
  type VaeEncodeOptions,
  type VaeEncodeParameter,
  type VaeEncoderSizes,
  vaeEncode,
  vaeEncodeParameters,
} from './vaeEncode.ts'
