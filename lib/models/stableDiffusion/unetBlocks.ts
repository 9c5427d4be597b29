import { Conv2d } from '../../nn/conv2d.ts'
import type { Weights } from '../../nn/weights.ts'
import { add } from '../../ops/add.ts'
import { concatChannels } from '../../ops/concatChannels.ts'
import { contiguous } from '../../ops/contiguous.ts'
import { reshape } from '../../ops/reshape.ts'
import { slice } from '../../ops/slice.ts'
import { zeros } from '../../tensor/create.ts'
import { scope } from '../../tensor/scope.ts'
import type { Tensor } from '../../tensor/tensor.ts'
import { ResnetBlock, type ResnetBlockConfig } from './resnetBlock.ts'
import { Transformer2D, type TransformerConfig } from './transformerBlock.ts'

/** Runs one unit of gradient checkpointing: in a scope of its own, or recomputed in the backward pass. */
export type Runner = (inputs: readonly (Tensor | null)[], body: (...inputs: (Tensor | null)[]) => Tensor) => Tensor

/** Gives each cross-attention layer, when its turn comes, what it attends to. */
export type ContextSource = () => Tensor

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
  forward(x: Tensor, time: Tensor, context: ContextSource, skips: Tensor[], run: Runner): Tensor {
    this.resnets.forEach((resnet, i) => {
      x = run([x, time], (h, t) => resnet.forward(h!, t!))
      const attention = this.attentions[i]
      if (attention) x = run([x, context()], (h, c) => attention.forward(h!, c!))
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
  readonly upsampler: Upsampler | null

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
    this.upsampler = config.upsample ? new Upsampler(weights.at('upsamplers', 0, 'conv'), outChannels) : null
  }

  /** Takes its skips from the end of `skips`. The doubled map is cut to the size of the next skip, which may be one smaller. */
  forward(x: Tensor, time: Tensor, context: ContextSource, skips: Tensor[], run: Runner): Tensor {
    return scope(() => {
      this.resnets.forEach((resnet, i) => {
        const skip = skips.pop()!
        x = run([x, skip, time], (h, s, t) => resnet.forward(concatChannels(h!, s!), t!))
        const attention = this.attentions[i]
        if (attention) x = run([x, context()], (h, c) => attention.forward(h!, c!))
      })
      if (!this.upsampler) return x
      const next = skips.at(-1)!
      const [height, width] = [next.dim(1), next.dim(2)]
      return this.upsampler.forward(x, { height, width })
    })
  }
}

/** A convolution on a map enlarged to a given size: twice its own, or one row or column less where the way down rounded up. */
class Upsampler {
  readonly conv: Conv2d

  constructor(weights: Weights, channels: number) {
    this.conv = new Conv2d(weights, channels, channels, { upsample: true })
  }

  forward(x: Tensor, { height, width }: { readonly height: number; readonly width: number }): Tensor {
    if (height === 2 * x.dim(1) && width === 2 * x.dim(2)) return this.conv.forward(x)
    return scope(() => {
      const rows = slice(doubled(x), { axis: 1, start: 0, end: height })
      return this.conv.forward(contiguous(slice(rows, { axis: 2, start: 0, end: width })), { upsample: false })
    })
  }
}

/** Every pixel four times: [n, h, w, c] to [n, 2h, 2w, c]. */
function doubled(x: Tensor): Tensor {
  const [n, h, w, c] = x.shape as readonly [number, number, number, number]
  return scope(() => {
    const { dtype, device } = x
    const columns = add(zeros([n * h * w, 2, c], { dtype, device }), reshape(x, { shape: [n * h * w, 1, c] }))
    const rows = reshape(columns, { shape: [n * h, 1, 2 * w * c] })
    return reshape(add(zeros([n * h, 2, 2 * w * c], { dtype, device }), rows), { shape: [n, 2 * h, 2 * w, c] })
  })
}
