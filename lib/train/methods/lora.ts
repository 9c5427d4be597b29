import { noGrad } from '../../autograd/tape.ts'
import type { ClipTokenizer } from '../../models/clip/tokenizer.ts'
import type { StableDiffusion } from '../../models/stableDiffusion/stableDiffusion.ts'
import { LoraNetwork, type LoraOptions } from '../../networks/lora.ts'
import type { Tensor } from '../../tensor/tensor.ts'
import { ArgumentError } from '../../util/errors.ts'
import { CaptionEncoder, type CaptionEncoderOptions } from '../conditioning.ts'
import { type EncodesCaptions, TextCache } from '../textCache.ts'
import type { StepMethod } from '../trainingStep.ts'
import { WeightedCaptionEncoder } from '../weightedCaptions.ts'

export interface LoraMethodOptions extends LoraOptions {
  readonly trainUnet: boolean
  readonly trainTextEncoder: boolean
  readonly captions: CaptionEncoderOptions
  /** Encode each caption once. Needs a text encoder that does not train. Default false. */
  readonly cacheCaptions?: boolean
  /** Brackets in captions weigh words. Default false. */
  readonly weightedCaptions?: boolean
}

/** Trains low-rank branches beside the frozen projections of U-Net and text encoder. */
export class LoraMethod implements StepMethod {
  readonly network: LoraNetwork
  /** Null without `cacheCaptions`. */
  readonly textCache: TextCache | null
  readonly #captions: EncodesCaptions
  readonly #trainTextEncoder: boolean

  /** @throws ArgumentError when neither part is trained, or captions shall be cached of a text encoder that learns */
  constructor(models: StableDiffusion, tokenizer: ClipTokenizer, options: LoraMethodOptions) {
    const { trainUnet, trainTextEncoder, cacheCaptions = false, weightedCaptions = false } = options
    if (!trainUnet && !trainTextEncoder)
      throw new ArgumentError('LoraMethod', 'trainUnet', 'on, or trainTextEncoder', 'neither: nothing would be trained')
    if (cacheCaptions && trainTextEncoder) {
      const received = 'on: what was encoded before would be out of date after a step'
      throw new ArgumentError('LoraMethod', 'trainTextEncoder', 'off where captions are cached', received)
    }
    this.#trainTextEncoder = trainTextEncoder
    this.network = new LoraNetwork(
      {
        ...(trainTextEncoder ? { textEncoder: models.textEncoder } : {}),
        ...(trainUnet ? { unet: models.unet } : {}),
      },
      options,
    )
    const Encoder = weightedCaptions ? WeightedCaptionEncoder : CaptionEncoder
    const encoder = new Encoder(tokenizer, models.textEncoder, options.captions)
    this.textCache = cacheCaptions ? new TextCache(encoder) : null
    this.#captions = this.textCache ?? encoder
  }

  condition(captions: readonly string[]): Tensor {
    return this.#trainTextEncoder ? this.#captions.encode(captions) : noGrad(() => this.#captions.encode(captions))
  }

  beginPass(pass: number): void {
    this.network.setStep(pass)
  }

  dispose(): void {
    this.textCache?.dispose()
    this.network.dispose()
  }
}
