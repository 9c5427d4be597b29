/** The smallest Stable Diffusion, for a GPU that is emulated: every kind of layer, and few multiplications. */
import { type StableDiffusionConfig, tinySd1 } from '../../lib/models/stableDiffusion/config.ts'

export const dwarf: StableDiffusionConfig = {
  ...tinySd1,
  name: 'dwarf Stable Diffusion',
  unet: { ...tinySd1.unet, blockOutChannels: [16, 16, 16, 16], layersPerBlock: 1, heads: [2, 2, 2, 2], groups: 4 },
  vae: { ...tinySd1.vae, blockOutChannels: [8, 8, 8, 8], layersPerBlock: 1, groups: 4 },
}

/** Two levels instead of four, and one layer of the text encoder: for runs of several steps. */
export const smallDwarf: StableDiffusionConfig = {
  ...dwarf,
  name: 'small dwarf Stable Diffusion',
  unet: { ...dwarf.unet, blockOutChannels: [16, 16], heads: [2, 2] },
  textEncoder: { ...dwarf.textEncoder, layers: 1 },
}
