import { defineOp } from '../autograd/defineOp.ts'
import type { MaybeHandle } from '../native/addon.ts'
import { addon } from '../native/load.ts'
import { tensor } from '../tensor/create.ts'
import { formatShape } from '../tensor/shape.ts'
import { type Tensor, wrap } from '../tensor/tensor.ts'
import { ArgumentError } from '../util/errors.ts'
import { add } from './add.ts'
import { expectDivisible, expectDType, expectFloat, expectOption, expectRank, expectShape } from './check.ts'
import { contiguous } from './contiguous.ts'
import { matmul } from './matmul.ts'
import { mul } from './mul.ts'
import { permute } from './permute.ts'
import { reshape } from './reshape.ts'
import { scale } from './scale.ts'
import { softmax } from './softmax.ts'

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

/** [n, tokens, heads * d] to [n, heads, tokens, d]. */
function splitHeads(x: Tensor, heads: number): Tensor {
  const [batch, tokens, channels] = x.shape as [number, number, number]
  const split = reshape(contiguous(x), { shape: [batch, tokens, heads, channels / heads] })
  return contiguous(permute(split, { axes: [0, 2, 1, 3] }))
}

/** float32 [queries, keys]: `seen` where a causal query sees the key, else `unseen`. */
function causalMask(queries: number, keys: number, seen: number, unseen: number, device: Tensor['device']): Tensor {
  const data = new Float32Array(queries * keys)
  for (let i = 0; i < queries; i++)
    for (let j = 0; j < keys; j++) data[i * keys + j] = j <= i + keys - queries ? seen : unseen
  return tensor(data, [queries, keys], { device })
}

/** Attention with its scores in memory. */
function composed([q, k, v]: Inputs, options: AttentionOptions): Tensor {
  const { heads, causal = false } = options
  const [queries, keys] = [q.dim(1), k.dim(1)]
  const products = matmul(splitHeads(q, heads), splitHeads(k, heads), { transposeB: true })
  const scores = scale(products, { factor: scaleOf(q, options) })
  const weights = causal
    ? // Rows that see nothing come out of the softmax uniform; the product makes them zero.
      mul(
        softmax(add(scores, causalMask(queries, keys, 0, -1e30, q.device))),
        causalMask(queries, keys, 1, 0, q.device),
      )
    : softmax(scores)
  const merged = contiguous(permute(matmul(weights, splitHeads(v, heads)), { axes: [0, 2, 1, 3] }))
  return reshape(merged, { shape: q.shape })
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
 * `q` is [n, t, heads * d], `k` and `v` are [n, s, heads * d], all of one type. The kernels want d to be a
 * multiple of 8; other head sizes run the composition of plain ops, which stores the scores. Views with
 * strides are read in place as long as the channels are neighbours. Sums and softmax are float32.
 * @returns [n, t, heads * d] with the dtype of `q`
 */
export const attention = defineOp<Inputs, Saved, AttentionOptions>('attention', {
  inputs: ['q', 'k', 'v'],
  strided: true,
  check([q, k, v], options) {
    expectFloat('attention', 'q', q)
    expectDType('attention', 'k', k, q.dtype)
    expectDType('attention', 'v', v, q.dtype)
    expectRank('attention', 'q', q, 3)
    expectRank('attention', 'k', k, 3)
    const [batch, , channels] = q.shape as [number, number, number]
    expectShape('attention', 'k', k, [batch, k.dim(1), channels])
    expectShape('attention', 'v', v, k.shape)
    const { heads, scale: factor } = options
    expectOption('attention', 'heads', Number.isInteger(heads) && heads >= 1, 'a positive integer', heads)
    expectDivisible('attention', 'the channels of q', channels, 'heads', heads)
    expectOption('attention', 'scale', factor === undefined || (factor > 0 && factor < 1e6), 'positive', factor)
    expectPackedChannels('q', q)
    expectPackedChannels('k', k)
    expectPackedChannels('v', v)
  },
  unsupported([q], { heads }) {
    const size = q.dim(-1) / heads
    return size % 8 === 0 ? null : `the head size ${size} is not a multiple of 8`
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
  reference: composed,
})
