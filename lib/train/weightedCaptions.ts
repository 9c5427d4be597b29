import { tokenizeWeighted } from '../models/clip/captionWeights.ts'
import type { ClipTextModel } from '../models/clip/textModel.ts'
import { type ClipTokenizer, TOKEN_ROW_LENGTH } from '../models/clip/tokenizer.ts'
import { cast } from '../ops/cast.ts'
import { div } from '../ops/div.ts'
import { mean } from '../ops/mean.ts'
import { mul } from '../ops/mul.ts'
import { reshape } from '../ops/reshape.ts'
import { tensor } from '../tensor/create.ts'
import { scope } from '../tensor/scope.ts'
import type { Tensor } from '../tensor/tensor.ts'
import type { CaptionEncoderOptions } from './conditioning.ts'
import type { EncodesCaptions } from './textCache.ts'

/**
 * Captions whose brackets weigh words, to hidden states; gradients flow through them when they are recorded. Each position's state
 * is multiplied by its weight, and all of a caption's by one factor that restores their mean. As many rows of 77 as the longest
 * caption of the batch needs stand one after another, each with its start and end: so the number of positions differs from batch to
 * batch, and from that of `CaptionEncoder`.
 */
export class WeightedCaptionEncoder implements EncodesCaptions {
  readonly #tokenizer: ClipTokenizer
  readonly #model: Pick<ClipTextModel, 'encode'>
  readonly #options: CaptionEncoderOptions

  constructor(tokenizer: ClipTokenizer, model: Pick<ClipTextModel, 'encode'>, options: CaptionEncoderOptions) {
    this.#tokenizer = tokenizer
    this.#model = model
    this.#options = options
  }

  /** @returns [captions, positions, d], positions a multiple of 77 */
  encode(captions: readonly string[]): Tensor {
    const { clipSkip, sequenceLength, dtype } = this.#options
    const maxChunks = (sequenceLength - 2) / (TOKEN_ROW_LENGTH - 2)
    const { ids, weights, chunks } = tokenizeWeighted(this.#tokenizer, captions, maxChunks)
    const count = captions.length
    const positions = chunks * TOKEN_ROW_LENGTH
    return scope(() => {
      const rows = this.#model.encode(tensor(ids, [count * chunks, TOKEN_ROW_LENGTH]), clipSkip)
      const states = reshape(rows, { shape: [count, positions, rows.dim(2)] })
      const weighted = mul(states, tensor(weights, [count, positions, 1]))
      const axes = [1, 2]
      const factor = div(mean(states, { axes }), mean(weighted, { axes }))
      return cast(mul(weighted, reshape(factor, { shape: [count, 1, 1] })), { dtype })
    })
  }
}
