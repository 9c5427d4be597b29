export { accumulate, copyInto, scaleInPlace } from './accumulate.ts'
export { type AdamWHyperparameters, type AdamWSlot, adamWStep } from './adamW.ts'
export { add } from './add.ts'
export { geglu } from './geglu.ts'
export { gelu } from './gelu.ts'
export { type GroupNormOptions, groupNorm } from './groupNorm.ts'
export { groupNormSilu } from './groupNormSilu.ts'
export { type LayerNormOptions, layerNorm } from './layerNorm.ts'
export { quickGelu } from './quickGelu.ts'
export { silu } from './silu.ts'
export { addNoise, velocity } from './addNoise.ts'
export { embedding } from './embedding.ts'
export { gradientNorm } from './gradientNorm.ts'
export { mseLoss } from './mseLoss.ts'
export { type OffsetNoiseOptions, offsetNoise } from './offsetNoise.ts'
export {
  blockCount,
  dequantizeBlockwise,
  QUANTIZATION_BLOCK,
  quantizationMap,
  quantizeBlockwise,
} from './quantizeBlockwise.ts'
export { type TimestepEmbeddingOptions, timestepEmbedding } from './timestepEmbedding.ts'
