import { Conv2d } from '../../nn/conv2d.ts'
import { GroupNorm, type GroupNormConfig } from '../../nn/groupNorm.ts'
import { Linear } from '../../nn/linear.ts'
import type { Weights } from '../../nn/weights.ts'
import { attention } from '../../ops/attention.ts'
import { reshape } from '../../ops/reshape.ts'
import { scope } from '../../tensor/scope.ts'
import type { Tensor } from '../../tensor/tensor.ts'
import { ResnetBlock } from './resnetBlock.ts'

/** Attention of every pixel to every other with one head as wide as the channels. */
class PixelAttention {
  readonly groupNorm: GroupNorm
  readonly toQ: Linear
  readonly toK: Linear
  readonly toV: Linear
  readonly toOut: Linear

  constructor(weights: Weights, channels: number, norm: GroupNormConfig) {
    this.groupNorm = new GroupNorm(weights.at('group_norm'), channels, norm)
    this.toQ = new Linear(weights.at('to_q'), channels, channels)
    this.toK = new Linear(weights.at('to_k'), channels, channels)
    this.toV = new Linear(weights.at('to_v'), channels, channels)
    this.toOut = new Linear(weights.at('to_out', 0), channels, channels)
  }

  forward(x: Tensor): Tensor {
    const [n, h, w, c] = x.shape as readonly [number, number, number, number]
    return scope(() => {
      const tokens = reshape(this.groupNorm.forward(x), { shape: [n, h * w, c] })
      const o = attention(this.toQ.forward(tokens), this.toK.forward(tokens), this.toV.forward(tokens), { heads: 1 })
      return this.toOut.forward(reshape(o, { shape: [n, h, w, c] }), { residual: x })
    })
  }
}

/** Resnet, attention, resnet at the lowest resolution. */
export class VaeMidBlock {
  readonly attention: PixelAttention
  readonly resnets: readonly [ResnetBlock, ResnetBlock]

  constructor(weights: Weights, channels: number, norm: GroupNormConfig) {
    const resnet = (i: number) =>
      new ResnetBlock(weights.at('resnets', i), channels, channels, { norm, timeEmbeddingDim: null })
    this.attention = new PixelAttention(weights.at('attentions', 0), channels, norm)
    this.resnets = [resnet(0), resnet(1)]
  }

  forward(x: Tensor): Tensor {
    return scope(() => this.resnets[1].forward(this.attention.forward(this.resnets[0].forward(x))))
  }
}

export interface VaeLevelConfig {
  readonly inChannels: number
  readonly outChannels: number
  readonly layers: number
  readonly norm: GroupNormConfig
  /** What follows the resnets: halve (pad right and bottom by one, stride 2), double, or nothing. */
  readonly resample: 'down' | 'up' | null
}

/** The resnets of one resolution and the convolution that leads to the next. */
export class VaeLevel {
  readonly resnets: readonly ResnetBlock[]
  readonly sampler: Conv2d | null

  constructor(weights: Weights, { inChannels, outChannels, layers, norm, resample }: VaeLevelConfig) {
    this.resnets = Array.from(
      { length: layers },
      (_, i) =>
        new ResnetBlock(weights.at('resnets', i), i === 0 ? inChannels : outChannels, outChannels, {
          norm,
          timeEmbeddingDim: null,
        }),
    )
    const samplers = resample === 'down' ? 'downsamplers' : 'upsamplers'
    const config = resample === 'down' ? ({ stride: 2, padding: [0, 1, 0, 1] } as const) : { upsample: true }
    this.sampler =
      resample === null ? null : new Conv2d(weights.at(samplers, 0, 'conv'), outChannels, outChannels, config)
  }

  forward(x: Tensor): Tensor {
    return scope(() => {
      for (const resnet of this.resnets) x = resnet.forward(x)
      return this.sampler === null ? x : this.sampler.forward(x)
    })
  }
}
