import { add } from '../ops/add.ts'
import { dropout } from '../ops/dropout.ts'
import { gelu } from '../ops/gelu.ts'
import { type LinearOptions, linear } from '../ops/linear.ts'
import { quickGelu } from '../ops/quickGelu.ts'
import { scale } from '../ops/scale.ts'
import { silu } from '../ops/silu.ts'
import type { Tensor } from '../tensor/tensor.ts'
import type { Weights } from './weights.ts'

/** Which dropout mask: a function of the key, so that recomputation and resume see the same one. */
export interface DropoutKey {
  readonly p: number
  readonly seed: bigint
  readonly stream: bigint
}

/** A low-rank branch beside a frozen projection: y += scale * (x down^T) up^T. */
export interface LoraBranch {
  /** [rank, in], float32 */
  readonly down: Tensor
  /** [out, rank], float32 */
  readonly up: Tensor
  /** multiplier * alpha / rank */
  scale: number
  /** Drops elements of x down^T in training; null: no dropout. */
  dropout: (() => DropoutKey | null) | null
}

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

/** y = x W^T + b on the last axis, with an optional LoRA branch. `weight` [out, in], `bias` [out]. */
export class Linear {
  readonly weight: Tensor
  readonly bias: Tensor | null
  readonly conv1x1: boolean
  lora: LoraBranch | null = null

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
  forward(x: Tensor, { activation, residual = null }: LinearForward = {}): Tensor {
    const { lora } = this
    const options: LinearOptions = activation === undefined ? {} : { activation }
    if (lora === null) return linear(x, this.weight, this.bias, residual, null, null, options)
    const drop = lora.dropout?.() ?? null
    if (drop === null)
      return linear(x, this.weight, this.bias, residual, lora.down, lora.up, { ...options, loraScale: lora.scale })
    // With dropout on the low-rank activation the branch is computed apart and enters before the activation.
    const branch = linear(dropout(linear(x, lora.down, null, null, null, null), drop), lora.up, null, null, null, null)
    const y = linear(x, this.weight, this.bias, scale(branch, { factor: lora.scale }), null, null)
    const activated = activation === undefined ? y : activations[activation](y)
    return residual === null ? activated : add(activated, residual)
  }
}
