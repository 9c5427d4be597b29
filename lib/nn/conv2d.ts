import { conv2d } from '../ops/conv2d.ts'
import { dropout } from '../ops/dropout.ts'
import { linear } from '../ops/linear.ts'
import { scale } from '../ops/scale.ts'
import { scope } from '../tensor/scope.ts'
import type { Tensor } from '../tensor/tensor.ts'
import type { LoraBranch } from './linear.ts'
import type { TransformedWeights } from './transformedWeights.ts'
import type { Weights } from './weights.ts'

/** Rows and columns of zeros: one number for all sides, or [top, bottom, left, right]. */
export type Padding = number | readonly [top: number, bottom: number, left: number, right: number]

export interface Conv2dConfig {
  readonly kernel?: 1 | 3
  readonly stride?: 1 | 2
  readonly padding?: Padding
  /** Doubles height and width (nearest neighbour) before the convolution. */
  readonly upsample?: boolean
}

export interface Conv2dForward {
  /** [n, o], added at every pixel. */
  readonly timeEmbedding?: Tensor | null
  /** Of the output's shape, added to it. */
  readonly residual?: Tensor | null
  /** In place of the layer's own setting. */
  readonly upsample?: boolean
}

/** Convolution on [n, h, w, i], weight [o, kh, kw, i] (files: [o, i, kh, kw]). */
export class Conv2d {
  readonly weight: Tensor
  readonly bias: Tensor
  /** `down` is a convolution like this one, [rank, kh, kw, in]; `up` is [out, rank]. */
  lora: LoraBranch | null = null
  readonly #transformed: TransformedWeights
  readonly #options: { readonly stride: 1 | 2; readonly padding: Padding; readonly upsample: boolean }

  constructor(weights: Weights, inChannels: number, outChannels: number, config: Conv2dConfig = {}) {
    const { kernel = 3, stride = 1, padding = kernel === 3 ? 1 : 0, upsample = false } = config
    this.weight = weights.parameter('weight', [outChannels, kernel, kernel, inChannels], 'kaimingUniform', 'conv')
    this.bias = weights.parameter('bias', [outChannels], 'zeros')
    this.#transformed = weights.registry.transformedWeights
    this.#options = { stride, padding, upsample }
    weights.registry.convs.set(weights.path, this)
  }

  forward(x: Tensor, { timeEmbedding = null, residual = null, upsample }: Conv2dForward = {}): Tensor {
    const options = upsample === undefined ? this.#options : { ...this.#options, upsample }
    const { lora } = this
    const plain = { ...options, keepTransformed: !this.weight.tracked && this.#keepsTransformed(x, options.upsample) }
    if (lora === null) return conv2d(x, this.weight, this.bias, timeEmbedding, residual, plain)
    return scope(() => {
      const y = conv2d(x, this.weight, this.bias, timeEmbedding, residual, plain)
      const h = conv2d(x, lora.down, null, null, null, options)
      const drop = lora.dropout?.() ?? null
      const low = scale(drop === null ? h : dropout(h, drop), { factor: lora.scale })
      return linear(low, lora.up, null, y, null, null)
    })
  }

  #keepsTransformed(x: Tensor, upsample: boolean): boolean {
    if (this.#options.stride !== 1 || this.weight.dim(1) !== 3 || x.rank !== 4) return false
    const factor = upsample ? 2 : 1
    const tiles = (pixels: number): number => Math.ceil((pixels * factor) / 4)
    return this.#transformed.keeps(this.weight, x.dim(0) * tiles(x.dim(1)) * tiles(x.dim(2)))
  }
}
