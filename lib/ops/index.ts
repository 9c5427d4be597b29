export { accumulate, copyInto, scaleInPlace } from './accumulate.ts'
export { type AdamWHyperparameters, type AdamWSlot, adamWStep } from './adamW.ts'
export { add } from './add.ts'
export { addNoise, velocity } from './addNoise.ts'
export { type AttentionOptions, attention } from './attention.ts'
export { concatBatch } from './concatBatch.ts'
export { embedding } from './embedding.ts'
export { geglu } from './geglu.ts'
export { gelu } from './gelu.ts'
export { gradientNorm } from './gradientNorm.ts'
export { type GroupNormOptions, groupNorm } from './groupNorm.ts'
export { groupNormSilu } from './groupNormSilu.ts'
export { type ImageWindow, imageToTensor } from './imageToTensor.ts'
export { type LayerNormOptions, layerNorm } from './layerNorm.ts'
export { mseLoss } from './mseLoss.ts'
export { type OffsetNoiseOptions, offsetNoise } from './offsetNoise.ts'
export { posteriorSample } from './posteriorSample.ts'
export {
  blockCount,
  dequantizeBlockwise,
  QUANTIZATION_BLOCK,
  quantizationMap,
  quantizeBlockwise,
} from './quantizeBlockwise.ts'
export { quickGelu } from './quickGelu.ts'
export { type ResizeImageOptions, type ResizeMethod, resizeImage } from './resizeImage.ts'
export { silu } from './silu.ts'
export { softmax } from './softmax.ts'
export { type TimestepEmbeddingOptions, timestepEmbedding } from './timestepEmbedding.ts'
