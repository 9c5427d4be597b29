import { Conv2d } from '../../nn/conv2d.ts'
import { GroupNorm, type GroupNormConfig } from '../../nn/groupNorm.ts'
import { type Model, Registry, type WeightSource, Weights } from '../../nn/weights.ts'
import { vaeEncode, vaeEncodeParameters } from '../../ops/vaeEncode.ts'
import type { FloatDType } from '../../tensor/dtype.ts'
import { scope } from '../../tensor/scope.ts'
import { formatShape } from '../../tensor/shape.ts'
import type { Tensor } from '../../tensor/tensor.ts'
import { ArgumentError } from '../../util/errors.ts'
import type { VaeConfig } from './config.ts'
import { VaeLevel, VaeMidBlock } from './vaeBlocks.ts'

/** Of every group normalisation. */
const normEps = 1e-6

class Encoder {
  readonly convIn: Conv2d
  readonly levels: readonly VaeLevel[]
  readonly mid: VaeMidBlock
  readonly convNormOut: GroupNorm
  readonly convOut: Conv2d

  constructor(
    weights: Weights,
    { blockOutChannels: channels, layersPerBlock, latentChannels }: VaeConfig,
    norm: GroupNormConfig,
  ) {
    const last = channels.at(-1)!
    this.convIn = new Conv2d(weights.at('conv_in'), 3, channels[0]!)
    this.levels = channels.map(
      (outChannels, level) =>
        new VaeLevel(weights.at('down_blocks', level), {
          inChannels: channels[Math.max(0, level - 1)]!,
          outChannels,
          layers: layersPerBlock,
          norm,
          resample: level < channels.length - 1 ? 'down' : null,
        }),
    )
    this.mid = new VaeMidBlock(weights.at('mid_block'), last, norm)
    this.convNormOut = new GroupNorm(weights.at('conv_norm_out'), last, norm)
    this.convOut = new Conv2d(weights.at('conv_out'), last, 2 * latentChannels)
  }

  forward(x: Tensor): Tensor {
    x = this.convIn.forward(x)
    for (const level of this.levels) x = level.forward(x)
    return this.convOut.forward(this.convNormOut.forwardSilu(this.mid.forward(x)))
  }
}

class Decoder {
  readonly convIn: Conv2d
  readonly levels: readonly VaeLevel[]
  readonly mid: VaeMidBlock
  readonly convNormOut: GroupNorm
  readonly convOut: Conv2d

  constructor(
    weights: Weights,
    { blockOutChannels, layersPerBlock, latentChannels }: VaeConfig,
    norm: GroupNormConfig,
  ) {
    const channels = blockOutChannels.toReversed()
    const last = channels.at(-1)!
    this.convIn = new Conv2d(weights.at('conv_in'), latentChannels, channels[0]!)
    this.mid = new VaeMidBlock(weights.at('mid_block'), channels[0]!, norm)
    this.levels = channels.map(
      (outChannels, level) =>
        new VaeLevel(weights.at('up_blocks', level), {
          inChannels: channels[Math.max(0, level - 1)]!,
          outChannels,
          layers: layersPerBlock + 1,
          norm,
          resample: level < channels.length - 1 ? 'up' : null,
        }),
    )
    this.convNormOut = new GroupNorm(weights.at('conv_norm_out'), last, norm)
    this.convOut = new Conv2d(weights.at('conv_out'), last, 3)
  }

  forward(x: Tensor): Tensor {
    x = this.mid.forward(this.convIn.forward(x))
    for (const level of this.levels) x = level.forward(x)
    return this.convOut.forward(this.convNormOut.forwardSilu(x))
  }
}

/** The autoencoder between pictures and latents (Kingma and Welling, 2014; Rombach et al., 2022). Pixels are in [-1, 1]. */
export class Vae implements Model {
  readonly registry: Registry
  readonly config: VaeConfig
  readonly encoder: Encoder
  readonly decoder: Decoder
  readonly quantConv: Conv2d
  readonly postQuantConv: Conv2d

  constructor(config: VaeConfig, source: WeightSource, dtype: FloatDType = 'float32') {
    this.config = config
    this.registry = new Registry(source, dtype)
    const weights = new Weights(this.registry)
    const norm = { groups: config.groups, eps: normEps }
    const { latentChannels } = config
    this.encoder = new Encoder(weights.at('encoder'), config, norm)
    this.decoder = new Decoder(weights.at('decoder'), config, norm)
    this.quantConv = new Conv2d(weights.at('quant_conv'), 2 * latentChannels, 2 * latentChannels, { kernel: 1 })
    this.postQuantConv = new Conv2d(weights.at('post_quant_conv'), latentChannels, latentChannels, { kernel: 1 })
  }

  /** How many pixels a latent is wide. */
  get reduction(): number {
    return 2 ** (this.config.blockOutChannels.length - 1)
  }

  /**
   * @param pixels [n, h, w, 3] in [-1, 1], h and w divisible by `reduction`
   * @returns [mean ; log variance] of the latents, [n, h/8, w/8, 8] for the published sizes
   */
  encode(pixels: Tensor): Tensor {
    if (pixels.rank !== 4 || pixels.dim(3) !== 3 || pixels.dim(1) % this.reduction || pixels.dim(2) % this.reduction)
      throw new ArgumentError(
        'Vae',
        'pixels',
        `of shape [n, h, w, 3] with h and w divisible by ${this.reduction}`,
        formatShape(pixels.shape),
      )
    return scope(() => this.quantConv.forward(this.encoder.forward(pixels)))
  }

  /**
   * The same as `encode` for data: one native call with two activations alive, without gradients.
   * @param pixels [n, h, w, 3], uint8, or float32 in [-1, 1]
   * @returns as `encode`, always float32
   */
  encodePictures(pixels: Tensor): Tensor {
    const { blockOutChannels: channels, layersPerBlock: layers, groups, latentChannels } = this.config
    const sizes = { channels, layers, latentChannels }
    const parameters = vaeEncodeParameters(sizes).map(({ name }) => this.registry.parameters.get(name)!.tensor)
    return vaeEncode(pixels, parameters, { ...sizes, groups, eps: normEps })
  }

  /**
   * @param latents [n, h, w, latentChannels], already divided by the scaling factor
   * @returns pixels [n, 8h, 8w, 3], nominally in [-1, 1]
   */
  decode(latents: Tensor): Tensor {
    const { latentChannels } = this.config
    if (latents.rank !== 4 || latents.dim(3) !== latentChannels)
      throw new ArgumentError('Vae', 'latents', `of shape [n, h, w, ${latentChannels}]`, formatShape(latents.shape))
    return scope(() => this.decoder.forward(this.postQuantConv.forward(latents)))
  }

  /** Frees what only `decode` uses, more than half of it; it cannot be called any more. */
  releaseDecoder(): void {
    for (const { name, tensor } of this.registry.parameters.values())
      if (/^(decoder|post_quant_conv)\./.test(name)) tensor.dispose()
  }

  dispose(): void {
    this.registry.dispose()
  }
}
