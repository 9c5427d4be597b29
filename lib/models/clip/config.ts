/** The text encoders of Stable Diffusion, as sizes. Field names follow the configuration files of the published models. */
export interface ClipTextConfig {
  readonly vocabSize: number
  readonly hiddenSize: number
  readonly intermediateSize: number
  readonly layers: number
  readonly heads: number
  readonly positions: number
  readonly activation: 'quickGelu' | 'gelu'
}

/** CLIP ViT-L/14, Stable Diffusion 1.x. */
export const clipL: ClipTextConfig = {
  vocabSize: 49408,
  hiddenSize: 768,
  intermediateSize: 3072,
  layers: 12,
  heads: 12,
  positions: 77,
  activation: 'quickGelu',
}

/** OpenCLIP ViT-H/14, Stable Diffusion 2.x: the last of its 24 layers is not used. */
export const openClipH: ClipTextConfig = {
  vocabSize: 49408,
  hiddenSize: 1024,
  intermediateSize: 4096,
  layers: 23,
  heads: 16,
  positions: 77,
  activation: 'gelu',
}

/** The same structure, small: for tests and the demo. */
export const tinyClipSd1: ClipTextConfig = { ...clipL, hiddenSize: 32, intermediateSize: 64, layers: 3, heads: 4 }
export const tinyClipSd2: ClipTextConfig = { ...openClipH, hiddenSize: 48, intermediateSize: 96, layers: 3, heads: 6 }
