import { noGrad } from '../../autograd/tape.ts'
import type { ClipTokenizer } from '../../models/clip/tokenizer.ts'
import type { StableDiffusion } from '../../models/stableDiffusion/stableDiffusion.ts'
import { LoraNetwork, type LoraOptions } from '../../networks/lora.ts'
import type { Tensor } from '../../tensor/tensor.ts'
import { ArgumentError } from '../../util/errors.ts'
import { CaptionEncoder, type CaptionEncoderOptions } from '../conditioning.ts'
import type { TrainingMethod } from '../trainer.ts'

export interface LoraMethodOptions extends LoraOptions {
  readonly trainUnet: boolean
  readonly trainTextEncoder: boolean
  readonly captions: CaptionEncoderOptions
}

/** Trains low-rank branches beside the frozen projections of U-Net and text encoder. */
export class LoraMethod implements TrainingMethod {
  readonly network: LoraNetwork
  readonly #captions: CaptionEncoder
  readonly #trainTextEncoder: boolean

  /** @throws ArgumentError when neither part is trained */
  constructor(models: StableDiffusion, tokenizer: ClipTokenizer, options: LoraMethodOptions) {
    const { trainUnet, trainTextEncoder } = options
    if (!trainUnet && !trainTextEncoder)
      throw new ArgumentError('LoraMethod', 'trainUnet', 'on, or trainTextEncoder', 'neither: nothing would be trained')
    this.#trainTextEncoder = trainTextEncoder
    this.network = new LoraNetwork(
      {
        ...(trainTextEncoder ? { textEncoder: models.textEncoder } : {}),
        ...(trainUnet ? { unet: models.unet } : {}),
      },
      options,
    )
    this.#captions = new CaptionEncoder(tokenizer, models.textEncoder, options.captions)
  }

  condition(captions: readonly string[]): Tensor {
    return this.#trainTextEncoder ? this.#captions.encode(captions) : noGrad(() => this.#captions.encode(captions))
  }

  beginPass(pass: number): void {
    this.network.setStep(pass)
  }

  dispose(): void {
    this.network.dispose()
  }
}
