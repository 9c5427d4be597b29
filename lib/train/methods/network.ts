import { noGrad } from '../../autograd/tape.ts'
import type { ClipTextModel } from '../../models/clip/textModel.ts'
import type { ClipTokenizer } from '../../models/clip/tokenizer.ts'
import { BranchNetwork, type TrainableNetwork } from '../../networks/network.ts'
import type { Tensor } from '../../tensor/tensor.ts'
import { ArgumentError } from '../../util/errors.ts'
import { CaptionEncoder, type CaptionEncoderOptions } from '../inputs/conditioning.ts'
import { type EncodesCaptions, TextCache } from '../inputs/textCache.ts'
import type { TextStore } from '../inputs/textStore.ts'
import { WeightedCaptionEncoder } from '../inputs/weightedCaptions.ts'
import type { StepMethod } from '../step/trainingStep.ts'

export interface NetworkMethodOptions {
  /** Whether the network has modules beside the text encoder. */
  readonly trainTextEncoder: boolean
  readonly captions: CaptionEncoderOptions
  /** Encode each caption once. Needs a text encoder that does not train. Default false. */
  readonly cacheCaptions?: boolean
  /** Opens where cached captions are kept between runs, with `cacheCaptions`. Default null: in memory. */
  readonly openCaptionStore?: ((encoder: CaptionEncoder) => Promise<TextStore>) | null
  /** Brackets in captions weigh words. Default false. */
  readonly weightedCaptions?: boolean
}

/** Trains a network of any kind beside a frozen U-Net and text encoder. */
export class NetworkMethod<N extends TrainableNetwork = TrainableNetwork> implements StepMethod {
  readonly network: N
  /** Null without `cacheCaptions`. */
  readonly textCache: TextCache | null
  /** What a class of one's own computes may be something else in each pass. */
  readonly repeats: boolean
  readonly #captions: EncodesCaptions
  readonly #trainTextEncoder: boolean

  /**
   * @param network belongs to the method from now on
   * @throws ArgumentError when captions shall be cached of a text encoder that learns, or weighted; the network is freed then
   */
  constructor(textEncoder: ClipTextModel, tokenizer: ClipTokenizer, network: N, options: NetworkMethodOptions) {
    const { trainTextEncoder, cacheCaptions = false, weightedCaptions = false } = options
    if (cacheCaptions && (trainTextEncoder || weightedCaptions)) {
      network.dispose()
      const [name, received] = trainTextEncoder
        ? ['trainTextEncoder', 'on: what was encoded before would be out of date after a step']
        : ['weightedCaptions', 'on: how long a weighted caption is depends on its batch']
      throw new ArgumentError('NetworkMethod', name, 'off where captions are cached', received)
    }
    this.#trainTextEncoder = trainTextEncoder
    this.network = network
    this.repeats = network instanceof BranchNetwork
    const encoder = new CaptionEncoder(tokenizer, textEncoder, options.captions)
    const { openCaptionStore = null } = options
    this.textCache = cacheCaptions
      ? new TextCache(encoder, { openStore: openCaptionStore && (() => openCaptionStore(encoder)) })
      : null
    this.#captions =
      this.textCache ??
      (weightedCaptions ? new WeightedCaptionEncoder(tokenizer, textEncoder, options.captions) : encoder)
  }

  async fetchCaptions(captions: readonly string[]): Promise<void> {
    await this.textCache?.fetch(captions)
  }

  condition(captions: readonly string[]): Tensor {
    return this.#trainTextEncoder ? this.#captions.encode(captions) : noGrad(() => this.#captions.encode(captions))
  }

  beginPass(pass: number): void {
    this.network.setStep(pass)
  }

  /** A network that knows no other strength was refused with data that ask for one. */
  setMultiplier(multiplier: number): void {
    this.network.setMultiplier?.(multiplier)
  }

  dispose(): void {
    this.textCache?.dispose()
    this.network.dispose()
  }
}
