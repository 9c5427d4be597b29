/** The projections and convolutions of a model, from its sizes alone: for files that name layers, without a model in memory. */
import type { ClipTextConfig } from '../clip/config.ts'
import type { StableDiffusionConfig, UNetConfig } from './config.ts'

/** A layer that a low-rank network can stand beside. */
export interface LayerShape {
  readonly part: 'textEncoder' | 'unet'
  /** As in the files of diffusers: `mid_block.attentions.0.proj_in`, `text_model.encoder.layers.0.mlp.fc1`. */
  readonly path: string
  /** Of the weight in files: [out, in] or [out, in, height, width]. */
  readonly shape: readonly number[]
}

/** Every linear layer and convolution of the text encoder and the U-Net, text encoder first, in definition order. */
export function layerShapes(config: Pick<StableDiffusionConfig, 'textEncoder' | 'unet'>): LayerShape[] {
  return [...textEncoderLayers(config.textEncoder), ...unetLayers(config.unet)]
}

function textEncoderLayers({ hiddenSize: d, intermediateSize, layers }: ClipTextConfig): LayerShape[] {
  const shapes: readonly (readonly [name: string, shape: readonly number[]])[] = [
    ['self_attn.k_proj', [d, d]],
    ['self_attn.v_proj', [d, d]],
    ['self_attn.q_proj', [d, d]],
    ['self_attn.out_proj', [d, d]],
    ['mlp.fc1', [intermediateSize, d]],
    ['mlp.fc2', [d, intermediateSize]],
  ]
  return Array.from({ length: layers }, (_, i) =>
    shapes.map(([name, shape]): LayerShape => {
      return { part: 'textEncoder', path: `text_model.encoder.layers.${i}.${name}`, shape }
    }),
  ).flat()
}

/** Collects layers in the order in which the U-Net makes them: down, up, middle. */
class UNetLayers {
  readonly found: LayerShape[] = []
  readonly #config: UNetConfig

  constructor(config: UNetConfig) {
    this.#config = config
  }

  add(path: string, ...shape: readonly number[]): void {
    this.found.push({ part: 'unet', path, shape })
  }

  conv(path: string, inChannels: number, outChannels: number, kernel = 3): void {
    this.add(path, outChannels, inChannels, kernel, kernel)
  }

  resnet(path: string, inChannels: number, outChannels: number): void {
    this.conv(`${path}.conv1`, inChannels, outChannels)
    this.add(`${path}.time_emb_proj`, outChannels, 4 * this.#config.blockOutChannels[0]!)
    this.conv(`${path}.conv2`, outChannels, outChannels)
    if (inChannels !== outChannels) this.conv(`${path}.conv_shortcut`, inChannels, outChannels, 1)
  }

  transformer(path: string, channels: number): void {
    const { linearProjection, crossAttentionDim } = this.#config
    const block = `${path}.transformer_blocks.0`
    const projection = linearProjection ? [channels, channels] : [channels, channels, 1, 1]
    const attention = (name: string, contextDim: number): void => {
      this.add(`${block}.${name}.to_q`, channels, channels)
      this.add(`${block}.${name}.to_k`, channels, contextDim)
      this.add(`${block}.${name}.to_v`, channels, contextDim)
      this.add(`${block}.${name}.to_out.0`, channels, channels)
    }
    this.add(`${path}.proj_in`, ...projection)
    attention('attn1', channels)
    this.add(`${block}.ff.net.0.proj`, 8 * channels, channels)
    this.add(`${block}.ff.net.2`, channels, 4 * channels)
    attention('attn2', crossAttentionDim)
    this.add(`${path}.proj_out`, ...projection)
  }
}

function unetLayers(config: UNetConfig): LayerShape[] {
  const { blockOutChannels: channels, layersPerBlock, inChannels, outChannels } = config
  const [first, last] = [channels[0]!, channels.at(-1)!]
  const deepest = channels.length - 1
  const layers = new UNetLayers(config)
  layers.conv('conv_in', inChannels, first)
  layers.add('time_embedding.linear_1', 4 * first, first)
  layers.add('time_embedding.linear_2', 4 * first, 4 * first)
  channels.forEach((width, level) => {
    const block = `down_blocks.${level}`
    const before = channels[Math.max(0, level - 1)]!
    for (let i = 0; i < layersPerBlock; i++) {
      if (level < deepest) layers.transformer(`${block}.attentions.${i}`, width)
      layers.resnet(`${block}.resnets.${i}`, i === 0 ? before : width, width)
    }
    if (level < deepest) layers.conv(`${block}.downsamplers.0.conv`, width, width)
  })
  channels.forEach((_, index) => {
    const level = deepest - index
    const block = `up_blocks.${index}`
    const width = channels[level]!
    const below = channels[Math.min(deepest, level + 1)]!
    for (let i = 0; i <= layersPerBlock; i++) {
      const skip = i === layersPerBlock ? channels[Math.max(0, level - 1)]! : width
      if (level < deepest) layers.transformer(`${block}.attentions.${i}`, width)
      layers.resnet(`${block}.resnets.${i}`, (i === 0 ? below : width) + skip, width)
    }
    if (level > 0) layers.conv(`${block}.upsamplers.0.conv`, width, width)
  })
  layers.transformer('mid_block.attentions.0', last)
  layers.resnet('mid_block.resnets.0', last, last)
  layers.resnet('mid_block.resnets.1', last, last)
  layers.conv('conv_out', first, outChannels)
  return layers.found
}
