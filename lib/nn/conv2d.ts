import { conv2d } from '../ops/conv2d.ts'
import { linear } from '../ops/linear.ts'
import { scale } from '../ops/scale.ts'
import { scope } from '../tensor/scope.ts'
import type { Tensor } from '../tensor/tensor.ts'
import { type Branch, changedWeight, withDropout } from './branch.ts'
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
  /** Frozen, it may be of float8_e4m3fn; see eightBits.ts, which alone sets it. */
  weight: Tensor
  readonly bias: Tensor
  branch: Branch | null = null
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
    const { branch, bias } = this
    const plain = (): Tensor => {
      const keepTransformed = !this.weight.tracked && this.#keepsTransformed(x, options.upsample)
      return conv2d(x, this.weight, bias, timeEmbedding, residual, { ...options, keepTransformed })
    }
    if (branch === null) return plain()
    return scope(() => {
      const term = branch.term()
      if (term === null) return plain()
      if (term.kind === 'weight') {
        const weight = changedWeight(this.weight, term.delta)
        // The sum is another tensor in every pass: what is kept beside it would never be used again.
        return conv2d(x, weight, bias, timeEmbedding, residual, { ...options, keepTransformed: false })
      }
      const y = plain()
      const h = withDropout(conv2d(x, term.down, null, null, null, options), term)
      return linear(scale(h, { factor: term.scale }), term.up, null, y, null, null)
    })
  }

  #keepsTransformed(x: Tensor, upsample: boolean): boolean {
    if (this.#options.stride !== 1 || this.weight.dim(1) !== 3 || x.rank !== 4) return false
    const factor = upsample ? 2 : 1
    const tiles = (pixels: number): number => Math.ceil((pixels * factor) / 4)
    return this.#transformed.keeps(this.weight, x.dim(0) * tiles(x.dim(1)) * tiles(x.dim(2)))
  }
}
