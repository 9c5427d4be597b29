import type { WeightSource } from '../../nn/weights.ts'
import type { FloatDType } from '../../tensor/dtype.ts'
import { ClipTextModel } from '../clip/textModel.ts'
import type { StableDiffusionConfig } from './config.ts'
import { UNet } from './unet.ts'
import { Vae } from './vae.ts'

export type ModelPart = 'unet' | 'textEncoder' | 'vae'

/** The three networks of Stable Diffusion. */
export class StableDiffusion {
  readonly config: StableDiffusionConfig
  readonly unet: UNet
  readonly textEncoder: ClipTextModel
  readonly vae: Vae

  /**
   * @param source where each part's parameters come from
   * @param dtypes what each part is stored and computed in; default float32
   */
  constructor(
    config: StableDiffusionConfig,
    source: (part: ModelPart) => WeightSource,
    dtypes: Readonly<Partial<Record<ModelPart, FloatDType>>> = {},
  ) {
    this.config = config
    this.unet = new UNet(config.unet, source('unet'), dtypes.unet)
    this.textEncoder = new ClipTextModel(config.textEncoder, source('textEncoder'), dtypes.textEncoder)
    this.vae = new Vae(config.vae, source('vae'), dtypes.vae)
  }

  dispose(): void {
    this.unet.dispose()
    this.textEncoder.dispose()
    this.vae.dispose()
  }
}
