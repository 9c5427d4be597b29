import { add } from '../ops/add.ts'
import { gelu } from '../ops/gelu.ts'
import { type LinearOptions, linear } from '../ops/linear.ts'
import { quickGelu } from '../ops/quickGelu.ts'
import { scale } from '../ops/scale.ts'
import { silu } from '../ops/silu.ts'
import { scope } from '../tensor/scope.ts'
import type { Tensor } from '../tensor/tensor.ts'
import { type Branch, changedWeight, type LowRankTerm, withDropout } from './branch.ts'
import type { Weights } from './weights.ts'

export interface LinearConfig {
  readonly bias?: boolean
  /** Files store it as a 1x1 convolution. */
  readonly conv1x1?: boolean
}

export interface LinearForward {
  readonly activation?: LinearOptions['activation']
  /** Added to the result. */
  readonly residual?: Tensor | null
}

const activations = { silu, gelu, quickGelu } as const

/** y = x W^T + b on the last axis, with what a branch adds. `weight` [out, in], `bias` [out]. */
export class Linear {
  /** Frozen, it may be of float8_e4m3fn; see eightBits.ts, which alone sets it. */
  weight: Tensor
  readonly bias: Tensor | null
  readonly conv1x1: boolean
  branch: Branch | null = null

  constructor(weights: Weights, inFeatures: number, outFeatures: number, config: LinearConfig = {}) {
    this.conv1x1 = config.conv1x1 ?? false
    this.weight = weights.parameter(
      'weight',
      [outFeatures, inFeatures],
      'kaimingUniform',
      this.conv1x1 ? 'conv1x1' : 'same',
    )
    this.bias = (config.bias ?? true) ? weights.parameter('bias', [outFeatures], 'zeros') : null
    weights.registry.linears.set(weights.path, this)
  }

  /** x [..., in] to [..., out] */
  forward(x: Tensor, forward: LinearForward = {}): Tensor {
    const { branch } = this
    if (branch === null) return this.#plain(x, this.weight, forward)
    return scope(() => {
      const term = branch.term()
      if (term === null) return this.#plain(x, this.weight, forward)
      if (term.kind === 'weight') return this.#plain(x, changedWeight(this.weight, term.delta), forward)
      return this.#withLowRank(x, term, forward)
    })
  }

  #plain(x: Tensor, weight: Tensor, { activation, residual = null }: LinearForward): Tensor {
    return linear(x, weight, this.bias, residual, null, null, activation === undefined ? {} : { activation })
  }

  #withLowRank(x: Tensor, term: LowRankTerm, { activation, residual = null }: LinearForward): Tensor {
    const { down, up, scale: factor } = term
    if (term.dropout === null && term.rankDropout === null) {
      const options = { loraScale: factor, ...(activation === undefined ? {} : { activation }) }
      return linear(x, this.weight, this.bias, residual, down, up, options)
    }
    // With masks on the low-rank activation the branch is computed apart and enters before the activation.
    const h = withDropout(linear(x, down, null, null, null, null), term)
    const branch = linear(h, up, null, null, null, null)
    const y = linear(x, this.weight, this.bias, scale(branch, { factor }), null, null)
    const activated = activation === undefined ? y : activations[activation](y)
    return residual === null ? activated : add(activated, residual)
  }
}
