import { defineOp } from '../autograd/defineOp.ts'
import type { MaybeHandle } from '../native/addon.ts'
import { addon } from '../native/load.ts'
import { formatShape } from '../tensor/shape.ts'
import { type Tensor, wrap } from '../tensor/tensor.ts'
import { ArgumentError } from '../util/errors.ts'
import { expectCompute, expectDivisible, expectDType, expectOption, expectRank, expectShape } from './check.ts'

export interface AttentionOptions {
  /** Number of heads; each takes an equal, neighbouring share of the channels. */
  readonly heads: number
  /** Query i of t sees only the keys j <= i + s - t of s. Default false. */
  readonly causal?: boolean
  /** Factor of the dot products. Default: the head size to the power -1/2. */
  readonly scale?: number
}

type Inputs = readonly [q: Tensor, k: Tensor, v: Tensor]
type Saved = readonly [q: Tensor, k: Tensor, v: Tensor, o: Tensor, logSumExp: Tensor]

function scaleOf(q: Tensor, options: AttentionOptions): number {
  return options.scale ?? (q.dim(-1) / options.heads) ** -0.5
}

/** A view that the kernels read in place: any strides as long as channels are neighbours. */
function expectPackedChannels(name: string, x: Tensor): void {
  const { strides } = x
  if (strides[2] !== 1)
    throw new ArgumentError(
      'attention',
      name,
      'with neighbouring channels (call contiguous(x))',
      `shape ${formatShape(x.shape)} with strides ${formatShape(strides)}`,
    )
}

/**
 * Scaled dot-product attention, `softmax(scale * q k^T) v` for each head, without storing the scores (the algorithm of
 * FlashAttention-2, arXiv 2307.08691). Queries that see no key give 0.
 *
 * `q` is [n, t, heads * d], `k` and `v` are [n, s, heads * d], all float32 or all bfloat16; d is a multiple of 8. Views with
 * strides are read in place as long as the channels are neighbours. Sums and softmax are float32.
 * @returns [n, t, heads * d] with the dtype of `q`
 */
export const attention = defineOp<Inputs, Saved, AttentionOptions>('attention', {
  inputs: ['q', 'k', 'v'],
  strided: true,
  check([q, k, v], options) {
    expectCompute('attention', 'q', q)
    expectDType('attention', 'k', k, q.dtype)
    expectDType('attention', 'v', v, q.dtype)
    expectRank('attention', 'q', q, 3)
    expectRank('attention', 'k', k, 3)
    const [batch, , channels] = q.shape as [number, number, number]
    expectShape('attention', 'k', k, [batch, k.dim(1), channels])
    expectShape('attention', 'v', v, k.shape)
    const { heads, scale } = options
    expectOption('attention', 'heads', Number.isInteger(heads) && heads >= 1, 'a positive integer', heads)
    expectDivisible('attention', 'the channels of q', channels, '8 * heads', 8 * heads)
    expectOption('attention', 'scale', scale === undefined || (scale > 0 && scale < 1e6), 'positive', scale)
    expectPackedChannels('q', q)
    expectPackedChannels('k', k)
    expectPackedChannels('v', v)
  },
  forward([q, k, v], options, save) {
    const causal = options.causal ?? false
    const made = addon.attentionForward(q.handle, k.handle, v.handle, options.heads, causal, scaleOf(q, options))
    const [o, logSumExp] = made.map(wrap) as [Tensor, Tensor]
    save(q, k, v, o, logSumExp)
    logSumExp.dispose()
    return o
  },
  backward(dy, [q, k, v, o, logSumExp], options, needs) {
    const gradients = addon.attentionBackward(
      dy.handle,
      q.handle,
      k.handle,
      v.handle,
      o.handle,
      logSumExp.handle,
      options.heads,
      options.causal ?? false,
      scaleOf(q, options),
      ...needs,
    )
    const wrapped = (handle: MaybeHandle): Tensor | null => handle && wrap(handle)
    return [wrapped(gradients[0]), wrapped(gradients[1]), wrapped(gradients[2])]
  },
})
