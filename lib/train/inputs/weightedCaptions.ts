import { tokenizeWeighted } from '../../models/clip/captionWeights.ts'
import { type ClipTokenizer, TOKEN_ROW_LENGTH } from '../../models/clip/tokenizer.ts'
import { type EncodesTokens, weightedStates } from '../../models/clip/weightedStates.ts'
import type { Tensor } from '../../tensor/tensor.ts'
import type { CaptionEncoderOptions } from './conditioning.ts'
import type { EncodesCaptions } from './textCache.ts'

/**
 * Captions whose brackets weigh words, to hidden states; gradients flow through them when they are recorded. As many rows of 77 as the
 * longest caption of the batch needs stand one after another: so the number of positions differs from batch to batch, and from that
 * of `CaptionEncoder`.
 */
export class WeightedCaptionEncoder implements EncodesCaptions {
  readonly #tokenizer: ClipTokenizer
  readonly #model: EncodesTokens
  readonly #options: CaptionEncoderOptions

  constructor(tokenizer: ClipTokenizer, model: EncodesTokens, options: CaptionEncoderOptions) {
    this.#tokenizer = tokenizer
    this.#model = model
    this.#options = options
  }

  /** @returns [captions, positions, d], positions a multiple of 77 */
  encode(captions: readonly string[]): Tensor {
    const maxChunks = (this.#options.sequenceLength - 2) / (TOKEN_ROW_LENGTH - 2)
    return weightedStates(this.#model, tokenizeWeighted(this.#tokenizer, captions, maxChunks), this.#options)
  }
}
