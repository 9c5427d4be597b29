/** From captions to what the U-Net is conditioned on. */
import type { ClipTextModel } from '../../models/clip/textModel.ts'
import { type ClipTokenizer, TOKEN_ROW_LENGTH, type TokenSequenceLength } from '../../models/clip/tokenizer.ts'
import type { StableDiffusionConfig } from '../../models/stableDiffusion/config.ts'
import { cast } from '../../ops/cast.ts'
import { embedding } from '../../ops/embedding.ts'
import { reshape } from '../../ops/reshape.ts'
import { tensor } from '../../tensor/create.ts'
import type { FloatDType } from '../../tensor/dtype.ts'
import { scope } from '../../tensor/scope.ts'
import type { Tensor } from '../../tensor/tensor.ts'
import { ConfigError } from '../../util/errors.ts'
import type { TrainConfig } from '../trainConfig.ts'

export interface CaptionEncoderOptions {
  /** Hidden state counted from the end; 1 is the last. */
  readonly clipSkip: number
  /** 77, or 152 and 227 for captions of up to 150 and 225 tokens. */
  readonly sequenceLength: TokenSequenceLength
  /** Of the result: what the U-Net computes in. */
  readonly dtype: FloatDType
  /** Rows are as long as the longest caption of the batch, and `clipSkip` does not count. Default false: 77. */
  readonly noPadding?: boolean
}

/** What a training asks of its captions. @param dtype what the U-Net computes in */
export function captionOptions({ model }: Pick<TrainConfig, 'model'>, dtype: FloatDType): CaptionEncoderOptions {
  const sequenceLength = model.maxTokenLength === null ? 77 : model.maxTokenLength === 150 ? 152 : 227
  return { clipSkip: model.clipSkip ?? 1, sequenceLength, dtype }
}

/**
 * Which rows of the encoded chunks make the hidden states of a long caption: the first position of its first chunk, positions 1 to 75
 * of every chunk, the last position of its last chunk. One list for each of `count` captions of `rows` chunks.
 */
export function longCaptionRows(count: number, rows: number): Int32Array {
  const inner = TOKEN_ROW_LENGTH - 2
  const length = inner * rows + 2
  const indices = new Int32Array(count * length)
  for (let n = 0, at = 0; n < count; n++) {
    const start = n * rows * TOKEN_ROW_LENGTH
    indices[at++] = start
    for (let row = 0; row < rows; row++)
      for (let position = 1; position <= inner; position++) indices[at++] = start + row * TOKEN_ROW_LENGTH + position
    indices[at++] = start + rows * TOKEN_ROW_LENGTH - 1
  }
  return indices
}

/**
 * What to tell a user about a clip skip (null: none asked for) before training with it.
 * @throws ConfigError when the text encoder has no such hidden state
 */
export function conditioningWarnings(config: StableDiffusionConfig, clipSkip: number | null): readonly string[] {
  // Those of the layers, and that of the embeddings.
  const states = config.textEncoder.layers + 1
  if (clipSkip !== null && !(Number.isInteger(clipSkip) && clipSkip >= 1 && clipSkip <= states))
    throw new ConfigError(
      `clip_skip must be a whole number from 1 to ${states}, as many hidden states as the text encoder of ${config.name} has, found ${clipSkip}`,
      { option: 'clip_skip' },
    )
  if (config.version !== 2 || clipSkip === null || clipSkip === 1) return []
  return [
    `clip_skip ${clipSkip} counts from the last layer that ${config.name} has: its text encoder was published without the layer that ` +
      'clip_skip 2 would skip, so leave it out unless you know that you want it',
  ]
}

/** Captions to hidden states with one tokenizer and one text encoder; gradients flow through it when they are recorded. */
export class CaptionEncoder {
  readonly model: ClipTextModel
  readonly options: CaptionEncoderOptions
  readonly #tokenizer: ClipTokenizer

  constructor(tokenizer: ClipTokenizer, model: ClipTextModel, options: CaptionEncoderOptions) {
    this.#tokenizer = tokenizer
    this.model = model
    this.options = options
  }

  /** What a caption is encoded as, rows of 77 ids one after another; without padding as many are used as the batch needs. */
  tokens(caption: string): Int32Array {
    return this.#tokenizer.tokenize(caption, { maxLength: this.options.sequenceLength })
  }

  /** @returns [captions, positions, d]: 77 positions, or 152 or 227, or fewer without padding */
  encode(captions: readonly string[]): Tensor {
    const { clipSkip, sequenceLength, dtype, noPadding = false } = this.options
    if (noPadding) return this.#encodeShort(captions)
    const rows = Math.ceil((sequenceLength - 2) / (TOKEN_ROW_LENGTH - 2))
    const ids = new Int32Array(captions.length * rows * TOKEN_ROW_LENGTH)
    captions.forEach((caption, i) => {
      ids.set(this.tokens(caption), i * rows * TOKEN_ROW_LENGTH)
    })
    const { device } = this.model.registry
    return scope(() => {
      const hidden = this.model.encode(tensor(ids, [captions.length * rows, TOKEN_ROW_LENGTH], { device }), clipSkip)
      const d = hidden.dim(2)
      if (rows === 1) return cast(hidden, { dtype })
      const table = reshape(hidden, { shape: [captions.length * rows * TOKEN_ROW_LENGTH, d] })
      const indices = tensor(longCaptionRows(captions.length, rows), [captions.length, sequenceLength], { device })
      return cast(embedding(indices, table), { dtype })
    })
  }

  /** As long as the longest caption, which the last layer conditions on. */
  #encodeShort(captions: readonly string[]): Tensor {
    const rows = captions.map((caption) => this.#tokenizer.encode(caption).slice(0, TOKEN_ROW_LENGTH - 2))
    const length = 2 + Math.max(...rows.map((row) => row.length))
    const ids = new Int32Array(rows.length * length)
    rows.forEach((row, i) => {
      ids.set(this.#tokenizer.row(row).subarray(0, length), i * length)
    })
    const { device } = this.model.registry
    return scope(() =>
      cast(this.model.encode(tensor(ids, [rows.length, length], { device })), { dtype: this.options.dtype }),
    )
  }
}
