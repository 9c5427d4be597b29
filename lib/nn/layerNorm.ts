import { layerNorm } from '../ops/layerNorm.ts'
import type { Tensor } from '../tensor/tensor.ts'
import type { Weights } from './weights.ts'

/** Layer normalisation (Ba et al., 2016) over the last axis, eps 1e-5. */
export class LayerNorm {
  readonly weight: Tensor
  readonly bias: Tensor

  constructor(weights: Weights, channels: number) {
    this.weight = weights.parameter('weight', [channels], 'ones')
    this.bias = weights.parameter('bias', [channels], 'zeros')
  }

  forward(x: Tensor): Tensor {
    return layerNorm(x, this.weight, this.bias, { eps: 1e-5 })
  }
}
