/** What a network adds to a layer that stays as it is. Layers know these forms and nothing of kinds of networks. */
import { add } from '../ops/add.ts'
import { cast } from '../ops/cast.ts'
import { dropout } from '../ops/dropout.ts'
import { mul } from '../ops/mul.ts'
import { full } from '../tensor/create.ts'
import type { Tensor } from '../tensor/tensor.ts'

/** Which dropout mask: a function of the key, so that recomputation and resume see the same one. */
export interface DropoutKey {
  readonly p: number
  readonly seed: bigint
  readonly stream: bigint
}

/** y += scale * (x down^T) up^T. */
export interface LowRankTerm {
  readonly kind: 'lowRank'
  /** [rank, in], beside a convolution one like it: [rank, kh, kw, in]. */
  readonly down: Tensor
  /** [out, rank] */
  readonly up: Tensor
  readonly scale: number
  /** Drops elements of x down^T. */
  readonly dropout: DropoutKey | null
  /** Drops ranks of each sample, over all its tokens or pixels. */
  readonly rankDropout: DropoutKey | null
}

/** The layer computes with weight + delta. */
export interface WeightTerm {
  readonly kind: 'weight'
  /** float32, of the weight's shape in memory. */
  readonly delta: Tensor
}

export type BranchTerm = LowRankTerm | WeightTerm

export interface Branch {
  /**
   * What is added in this forward pass; null: nothing. Gradients flow through it to the tensors it is made from. It is asked for once
   * for each pass of the layer, and again where the pass is recomputed: the answer must be the same. Tensors made here are freed
   * with the layer's own.
   */
  term(): BranchTerm | null
}

/** x down^T with the masks of a term on it. @param h [n, ..., rank] */
export function withDropout(h: Tensor, { dropout: elements, rankDropout }: LowRankTerm): Tensor {
  const kept = elements === null ? h : dropout(h, elements)
  if (rankDropout === null) return kept
  const shape = h.shape.map((size, axis) => (axis === 0 || axis === h.rank - 1 ? size : 1))
  return mul(kept, dropout(full(shape, 1, { device: h.device }), rankDropout))
}

/** The sum is float32 whatever the weight is: a small change of a bfloat16 weight would be rounded away. */
export function changedWeight(weight: Tensor, delta: Tensor): Tensor {
  return add(weight.dtype === 'float32' ? weight : cast(weight, { dtype: 'float32' }), delta)
}
