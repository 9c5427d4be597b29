import { atOnce, inTurns, type TurnOptions } from '../../autograd/inTurns.ts'
import { grouped, recompute } from '../../autograd/recompute.ts'
import { Conv2d } from '../../nn/conv2d.ts'
import { GroupNorm } from '../../nn/groupNorm.ts'
import { Linear } from '../../nn/linear.ts'
import { type Model, Registry, type WeightSource, Weights } from '../../nn/weights.ts'
import { cast } from '../../ops/cast.ts'
import { silu } from '../../ops/silu.ts'
import { timestepEmbedding } from '../../ops/timestepEmbedding.ts'
import { atCallSite } from '../../tensor/callSite.ts'
import type { FloatDType } from '../../tensor/dtype.ts'
import { scope } from '../../tensor/scope.ts'
import { formatShape } from '../../tensor/shape.ts'
import { Tensor } from '../../tensor/tensor.ts'
import { ArgumentError } from '../../util/errors.ts'
import type { UNetConfig } from './config.ts'
import { ResnetBlock } from './resnetBlock.ts'
import { Transformer2D } from './transformerBlock.ts'
import { type ContextSource, DownBlock, type Runner, UpBlock } from './unetBlocks.ts'

/**
 * Hidden states of the text encoder, [n, s, crossAttentionDim]: for all cross-attention layers, or for each of them its own, in
 * forward order.
 */
export type UNetContext = Tensor | readonly Tensor[]

/** The denoising U-Net of Stable Diffusion (Rombach et al., 2022), in channels-last layout. */
export class UNet implements Model {
  readonly registry: Registry
  readonly config: UNetConfig
  readonly convIn: Conv2d
  readonly timeEmbedding: { readonly linear1: Linear; readonly linear2: Linear }
  readonly downBlocks: readonly DownBlock[]
  readonly upBlocks: readonly UpBlock[]
  readonly midBlock: { readonly resnets: readonly [ResnetBlock, ResnetBlock]; readonly attention: Transformer2D }
  readonly convNormOut: GroupNorm
  readonly convOut: Conv2d
  /** Recompute each resnet and transformer in the backward pass instead of keeping its activations. */
  gradientCheckpointing = false

  constructor(config: UNetConfig, source: WeightSource, dtype: FloatDType = 'float32') {
    this.config = config
    this.registry = new Registry(source, dtype)
    const weights = new Weights(this.registry)
    const { blockOutChannels: channels, groups } = config
    const [first, last] = [channels[0]!, channels.at(-1)!]
    const timeEmbeddingDim = 4 * first
    const norm = { groups }
    const transformer = (level: number) => ({ ...config, heads: config.heads[level]! })

    this.convIn = new Conv2d(weights.at('conv_in'), config.inChannels, first)
    this.timeEmbedding = {
      linear1: new Linear(weights.at('time_embedding', 'linear_1'), first, timeEmbeddingDim),
      linear2: new Linear(weights.at('time_embedding', 'linear_2'), timeEmbeddingDim, timeEmbeddingDim),
    }
    const levels = channels.length
    this.downBlocks = channels.map(
      (outChannels, level) =>
        new DownBlock(weights.at('down_blocks', level), {
          inChannels: channels[Math.max(0, level - 1)]!,
          outChannels,
          layers: config.layersPerBlock,
          resnet: { norm, timeEmbeddingDim },
          transformer: level < levels - 1 ? transformer(level) : null,
          downsample: level < levels - 1,
        }),
    )
    // Up before mid: the order in which modules were registered fixes the order of everything that walks them.
    this.upBlocks = channels.map((_, index) => {
      const level = levels - 1 - index
      return new UpBlock(weights.at('up_blocks', index), {
        inChannels: channels[Math.min(levels - 1, level + 1)]!,
        outChannels: channels[level]!,
        skipChannels: channels[Math.max(0, level - 1)]!,
        layers: config.layersPerBlock + 1,
        resnet: { norm, timeEmbeddingDim },
        transformer: level < levels - 1 ? transformer(level) : null,
        upsample: level > 0,
      })
    })
    const mid = weights.at('mid_block')
    const resnet = (i: number) => new ResnetBlock(mid.at('resnets', i), last, last, { norm, timeEmbeddingDim })
    this.midBlock = {
      attention: new Transformer2D(mid.at('attentions', 0), last, transformer(levels - 1)),
      resnets: [resnet(0), resnet(1)],
    }
    this.convNormOut = new GroupNorm(weights.at('conv_norm_out'), first, norm)
    this.convOut = new Conv2d(weights.at('conv_out'), first, config.outChannels)
  }

  /**
   * @param latents [n, h, w, inChannels]
   * @param timesteps float32 [n]; fractions are allowed
   * @returns the predicted noise or velocity, [n, h, w, outChannels], in the model's dtype
   * @throws ArgumentError for other shapes
   */
  forward(latents: Tensor, timesteps: Tensor, context: UNetContext): Tensor {
    this.#check(latents, context)
    return atCallSite(() => scope(() => atOnce(this.#layers(latents, timesteps, context))))
  }

  /** `forward` with pauses between its levels, so that a thousand calls do not hold up the event loop. The result is the same bits. */
  forwardInTurns(latents: Tensor, timesteps: Tensor, context: UNetContext, options: TurnOptions): Promise<Tensor> {
    this.#check(latents, context)
    return inTurns(this.#layers(latents, timesteps, context), options)
  }

  *#layers(latents: Tensor, timesteps: Tensor, contexts: UNetContext): Generator<void, Tensor> {
    const run: Runner = this.gradientCheckpointing ? recompute : grouped
    const context = inOrder(contexts)
    const time = this.#embedTime(timesteps)
    let x = this.convIn.forward(latents)
    const skips = [x]
    for (const block of this.downBlocks) {
      x = block.forward(x, time, context, skips, run)
      yield
    }
    const [resnet0, resnet1] = this.midBlock.resnets
    x = run([x, time], (h, t) => resnet0.forward(h!, t))
    x = run([x, context()], (h, c) => this.midBlock.attention.forward(h!, c!))
    x = run([x, time], (h, t) => resnet1.forward(h!, t))
    yield
    for (const block of this.upBlocks) {
      x = block.forward(x, time, context, skips, run)
      yield
    }
    return this.convOut.forward(this.convNormOut.forwardSilu(x))
  }

  /** silu of the time embedding, which every resnet projects. */
  #embedTime(timesteps: Tensor): Tensor {
    const dim = this.config.blockOutChannels[0]!
    return scope(() => {
      const { linear1, linear2 } = this.timeEmbedding
      const sinusoid = cast(timestepEmbedding(timesteps, { dim }), { dtype: this.registry.dtype })
      return silu(linear2.forward(linear1.forward(sinusoid, { activation: 'silu' })))
    })
  }

  /** Layers that attend to the context: 16 in Stable Diffusion. */
  get crossAttentionCount(): number {
    return [...this.downBlocks, ...this.upBlocks].reduce((sum, { attentions }) => sum + attentions.length, 1)
  }

  #check(latents: Tensor, context: UNetContext): void {
    const { inChannels, crossAttentionDim } = this.config
    if (latents.rank !== 4 || latents.dim(3) !== inChannels)
      throw new ArgumentError('UNet', 'latents', `of shape [n, h, w, ${inChannels}]`, formatShape(latents.shape))
    const expected = `of shape [${latents.dim(0)}, s, ${crossAttentionDim}]`
    for (const states of contextTensors(context))
      if (states.rank !== 3 || states.dim(2) !== crossAttentionDim || states.dim(0) !== latents.dim(0))
        throw new ArgumentError('UNet', 'context', expected, formatShape(states.shape))
    if (!(context instanceof Tensor) && context.length !== this.crossAttentionCount) {
      const layers = `one tensor, or ${this.crossAttentionCount}, one for each cross-attention layer`
      throw new ArgumentError('UNet', 'context', layers, `${context.length}`)
    }
  }

  dispose(): void {
    this.registry.dispose()
  }
}

/** The tensors of a context. */
export function contextTensors(context: UNetContext): readonly Tensor[] {
  return context instanceof Tensor ? [context] : context
}

function inOrder(context: UNetContext): ContextSource {
  if (context instanceof Tensor) return () => context
  const layers = context.values()
  return () => layers.next().value!
}
