import type { Registry } from '../../nn/weights.ts'
import { cast } from '../../ops/cast.ts'
import { div } from '../../ops/div.ts'
import { mean } from '../../ops/mean.ts'
import { mul } from '../../ops/mul.ts'
import { reshape } from '../../ops/reshape.ts'
import { tensor } from '../../tensor/create.ts'
import type { FloatDType } from '../../tensor/dtype.ts'
import { scope } from '../../tensor/scope.ts'
import type { Tensor } from '../../tensor/tensor.ts'
import type { WeightedTokens } from './captionWeights.ts'
import type { ClipTextModel } from './textModel.ts'
import { TOKEN_ROW_LENGTH } from './tokenizer.ts'

export interface WeightedStatesOptions {
  /** Hidden state of the text encoder, counted from the end. */
  readonly clipSkip: number
  /** Of the result: what the U-Net computes in. */
  readonly dtype: FloatDType
}

/** A text encoder as far as it is asked for. */
export type EncodesTokens = Pick<ClipTextModel, 'encode'> & { readonly registry: Pick<Registry, 'device'> }

/**
 * Weighted captions to hidden states; gradients flow through them when they are recorded. Each position's state is multiplied by its
 * weight, and all of a caption's by one factor that restores their mean. The rows of a caption stand one after another, each with its
 * start and end.
 * @returns [captions, 77 * chunks, d]
 */
export function weightedStates(
  model: EncodesTokens,
  { ids, weights, chunks }: WeightedTokens,
  { clipSkip, dtype }: WeightedStatesOptions,
): Tensor {
  const positions = chunks * TOKEN_ROW_LENGTH
  const count = ids.length / positions
  const { device } = model.registry
  return scope(() => {
    const rows = model.encode(tensor(ids, [count * chunks, TOKEN_ROW_LENGTH], { device }), clipSkip)
    const states = reshape(rows, { shape: [count, positions, rows.dim(2)] })
    const weighted = mul(states, tensor(weights, [count, positions, 1], { device }))
    const axes = [1, 2]
    const factor = div(mean(states, { axes }), mean(weighted, { axes }))
    return cast(mul(weighted, reshape(factor, { shape: [count, 1, 1] })), { dtype })
  })
}
