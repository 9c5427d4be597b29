import type { WeightSource } from '../../nn/weights.ts'
import type { FloatDType } from '../../tensor/dtype.ts'
import type { Tensor } from '../../tensor/tensor.ts'
import { ClipTextModel } from '../clip/textModel.ts'
import type { StableDiffusionConfig } from './config.ts'
import { UNet } from './unet.ts'
import { Vae } from './vae.ts'

export type ModelPart = 'unet' | 'textEncoder' | 'vae'

/** The three networks of Stable Diffusion. */
export class StableDiffusion {
  readonly unet: UNet
  readonly textEncoder: ClipTextModel
  #config: StableDiffusionConfig
  #vae: Vae

  /**
   * @param source where each part's parameters come from
   * @param dtypes what each part is stored and computed in; default float32
   */
  constructor(
    config: StableDiffusionConfig,
    source: (part: ModelPart) => WeightSource,
    dtypes: Readonly<Partial<Record<ModelPart, FloatDType>>> = {},
  ) {
    this.#config = config
    // A source may fail half-way, at a tensor that a file lacks: what was made until then belongs to no model yet.
    const made: Tensor[] = []
    const noted = (part: ModelPart): WeightSource => {
      const take = source(part)
      return (request) => {
        const tensor = take(request)
        made.push(tensor)
        return tensor
      }
    }
    try {
      this.unet = new UNet(config.unet, noted('unet'), dtypes.unet)
      this.textEncoder = new ClipTextModel(config.textEncoder, noted('textEncoder'), dtypes.textEncoder)
      this.#vae = new Vae(config.vae, noted('vae'), dtypes.vae)
    } catch (error) {
      for (const tensor of made) tensor.dispose()
      throw error
    }
    made.length = 0
  }

  get config(): StableDiffusionConfig {
    return this.#config
  }

  get vae(): Vae {
    return this.#vae
  }

  /** Takes another VAE, which belongs to the model from then on; the one before is disposed. */
  replaceVae(vae: Vae): void {
    this.#vae.dispose()
    this.#vae = vae
    this.#config = { ...this.#config, vae: vae.config }
  }

  /** Frees the weights of a part that is not used any more; its sizes stay known. */
  release(part: ModelPart): void {
    this[part].dispose()
  }

  dispose(): void {
    this.unet.dispose()
    this.textEncoder.dispose()
    this.vae.dispose()
  }
}
