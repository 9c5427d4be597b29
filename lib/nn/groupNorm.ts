import { groupNorm } from '../ops/groupNorm.ts'
import { groupNormSilu } from '../ops/groupNormSilu.ts'
import type { Tensor } from '../tensor/tensor.ts'
import type { Weights } from './weights.ts'

export interface GroupNormConfig {
  readonly groups: number
  /** Default 1e-5. */
  readonly eps?: number
}

/** Group normalisation (Wu and He, 2018) of [n, ..., c], optionally followed by SiLU in the same pass. */
export class GroupNorm {
  readonly weight: Tensor
  readonly bias: Tensor
  readonly #options: { readonly groups: number; readonly eps: number }

  constructor(weights: Weights, channels: number, { groups, eps = 1e-5 }: GroupNormConfig) {
    this.weight = weights.parameter('weight', [channels], 'ones')
    this.bias = weights.parameter('bias', [channels], 'zeros')
    this.#options = { groups, eps }
  }

  forward(x: Tensor): Tensor {
    return groupNorm(x, this.weight, this.bias, this.#options)
  }

  forwardSilu(x: Tensor): Tensor {
    return groupNormSilu(x, this.weight, this.bias, this.#options)
  }
}
