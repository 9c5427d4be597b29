/** The structure of Stable Diffusion 1.x, block for block, in sizes that two cores can train. */
import { type StableDiffusionConfig, sd1 } from 'noisewright'

/** Width and height of the pictures in pixels. */
export const pictureSize = 64

export const miniatureSizes: StableDiffusionConfig = {
  ...sd1,
  name: 'miniature',
  unet: { ...sd1.unet, blockOutChannels: [64, 64, 48, 32], heads: [4, 4, 3, 2], crossAttentionDim: 96, groups: 16 },
  textEncoder: { ...sd1.textEncoder, hiddenSize: 96, intermediateSize: 384, layers: 2, heads: 4 },
  vae: { ...sd1.vae, blockOutChannels: [16, 32, 64, 64], groups: 8 },
}
