import { Conv2d } from '../../nn/conv2d.ts'
import type { Weights } from '../../nn/weights.ts'
import { concatChannels } from '../../ops/concatChannels.ts'
import { scope } from '../../tensor/scope.ts'
import type { Tensor } from '../../tensor/tensor.ts'
import { ResnetBlock, type ResnetBlockConfig } from './resnetBlock.ts'
import { Transformer2D, type TransformerConfig } from './transformerBlock.ts'

/** Runs one unit of gradient checkpointing: in a scope of its own, or recomputed in the backward pass. */
export type Runner = (inputs: readonly (Tensor | null)[], body: (...inputs: (Tensor | null)[]) => Tensor) => Tensor

export interface DownBlockConfig {
  readonly inChannels: number
  readonly outChannels: number
  readonly layers: number
  readonly resnet: ResnetBlockConfig
  /** Null: a level without attention. */
  readonly transformer: TransformerConfig | null
  readonly downsample: boolean
}

/** One level on the way down: resnets, each followed by a transformer where the level has attention, then a strided convolution. */
export class DownBlock {
  readonly attentions: readonly Transformer2D[]
  readonly resnets: readonly ResnetBlock[]
  readonly downsampler: Conv2d | null

  constructor(weights: Weights, config: DownBlockConfig) {
    const { inChannels, outChannels, layers, transformer } = config
    const indices = Array.from({ length: layers }, (_, i) => i)
    this.attentions = transformer
      ? indices.map((i) => new Transformer2D(weights.at('attentions', i), outChannels, transformer))
      : []
    this.resnets = indices.map(
      (i) => new ResnetBlock(weights.at('resnets', i), i === 0 ? inChannels : outChannels, outChannels, config.resnet),
    )
    this.downsampler = config.downsample
      ? new Conv2d(weights.at('downsamplers', 0, 'conv'), outChannels, outChannels, { stride: 2, padding: 1 })
      : null
  }

  /** Pushes every result that the way up will take onto `skips`. */
  forward(x: Tensor, time: Tensor, context: Tensor, skips: Tensor[], run: Runner): Tensor {
    this.resnets.forEach((resnet, i) => {
      x = run([x, time], (h, t) => resnet.forward(h!, t!))
      const attention = this.attentions[i]
      if (attention) x = run([x, context], (h, c) => attention.forward(h!, c!))
      skips.push(x)
    })
    if (this.downsampler) {
      x = this.downsampler.forward(x)
      skips.push(x)
    }
    return x
  }
}

export interface UpBlockConfig {
  /** Of what comes from below. */
  readonly inChannels: number
  readonly outChannels: number
  /** Of the last skip this level takes. */
  readonly skipChannels: number
  readonly layers: number
  readonly resnet: ResnetBlockConfig
  readonly transformer: TransformerConfig | null
  readonly upsample: boolean
}

/** One level on the way up: each resnet takes the next skip beside its input; then a convolution on the doubled map. */
export class UpBlock {
  readonly attentions: readonly Transformer2D[]
  readonly resnets: readonly ResnetBlock[]
  readonly upsampler: Conv2d | null

  constructor(weights: Weights, config: UpBlockConfig) {
    const { inChannels, outChannels, skipChannels, layers, transformer } = config
    const indices = Array.from({ length: layers }, (_, i) => i)
    this.attentions = transformer
      ? indices.map((i) => new Transformer2D(weights.at('attentions', i), outChannels, transformer))
      : []
    this.resnets = indices.map((i) => {
      const before = i === 0 ? inChannels : outChannels
      const skip = i === layers - 1 ? skipChannels : outChannels
      return new ResnetBlock(weights.at('resnets', i), before + skip, outChannels, config.resnet)
    })
    this.upsampler = config.upsample
      ? new Conv2d(weights.at('upsamplers', 0, 'conv'), outChannels, outChannels, { upsample: true })
      : null
  }

  /** Takes its skips from the end of `skips`. */
  forward(x: Tensor, time: Tensor, context: Tensor, skips: Tensor[], run: Runner): Tensor {
    return scope(() => {
      this.resnets.forEach((resnet, i) => {
        const skip = skips.pop()!
        x = run([x, skip, time], (h, s, t) => resnet.forward(concatChannels(h!, s!), t!))
        const attention = this.attentions[i]
        if (attention) x = run([x, context], (h, c) => attention.forward(h!, c!))
      })
      return this.upsampler ? this.upsampler.forward(x) : x
    })
  }
}
