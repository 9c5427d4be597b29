import { Conv2d } from '../../nn/conv2d.ts'
import { GroupNorm, type GroupNormConfig } from '../../nn/groupNorm.ts'
import { Linear } from '../../nn/linear.ts'
import type { Weights } from '../../nn/weights.ts'
import { scope } from '../../tensor/scope.ts'
import type { Tensor } from '../../tensor/tensor.ts'

export interface ResnetBlockConfig {
  readonly norm: GroupNormConfig
  /** Size of the time embedding; null in the VAE, which has none. */
  readonly timeEmbeddingDim: number | null
}

/** x + conv2(silu(norm2(conv1(silu(norm1(x))) + time))), with a 1x1 convolution on x where the channels change. */
export class ResnetBlock {
  readonly norm1: GroupNorm
  readonly conv1: Conv2d
  readonly timeEmbProj: Linear | null
  readonly norm2: GroupNorm
  readonly conv2: Conv2d
  readonly convShortcut: Conv2d | null

  constructor(
    weights: Weights,
    inChannels: number,
    outChannels: number,
    { norm, timeEmbeddingDim }: ResnetBlockConfig,
  ) {
    this.norm1 = new GroupNorm(weights.at('norm1'), inChannels, norm)
    this.conv1 = new Conv2d(weights.at('conv1'), inChannels, outChannels)
    this.timeEmbProj =
      timeEmbeddingDim === null ? null : new Linear(weights.at('time_emb_proj'), timeEmbeddingDim, outChannels)
    this.norm2 = new GroupNorm(weights.at('norm2'), outChannels, norm)
    this.conv2 = new Conv2d(weights.at('conv2'), outChannels, outChannels)
    this.convShortcut =
      inChannels === outChannels
        ? null
        : new Conv2d(weights.at('conv_shortcut'), inChannels, outChannels, { kernel: 1 })
  }

  /**
   * @param x [n, h, w, in]
   * @param time silu of the time embedding, [n, timeEmbeddingDim], or null
   * @returns [n, h, w, out]
   */
  forward(x: Tensor, time: Tensor | null = null): Tensor {
    return scope(() => {
      const timeEmbedding = time === null || this.timeEmbProj === null ? null : this.timeEmbProj.forward(time)
      const hidden = scope(() => this.conv1.forward(this.norm1.forwardSilu(x), { timeEmbedding }))
      const residual = this.convShortcut === null ? x : this.convShortcut.forward(x)
      return this.conv2.forward(this.norm2.forwardSilu(hidden), { residual })
    })
  }
}
