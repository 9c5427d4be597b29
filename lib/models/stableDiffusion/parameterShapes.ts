/** Every parameter of a model by name, from its sizes alone: for files, without a model in memory. */
import type { ParameterRequest } from '../../nn/weights.ts'
import type { ClipTextConfig } from '../clip/config.ts'
import type { StableDiffusionConfig, UNetConfig, VaeConfig } from './config.ts'
import type { ModelPart } from './stableDiffusion.ts'

/** What a parameter is called and how it lies in memory and in files. */
export type ParameterShape = Pick<ParameterRequest, 'name' | 'shape' | 'layout'>

/** The parameters of one part in the order in which its modules ask for them; a test compares the two. */
export function parameterShapes(
  part: ModelPart,
  config: Pick<StableDiffusionConfig, 'unet' | 'textEncoder' | 'vae'>,
): ParameterShape[] {
  if (part === 'unet') return unetParameters(config.unet)
  return part === 'textEncoder' ? textEncoderParameters(config.textEncoder) : vaeParameters(config.vae)
}

class Parameters {
  readonly found: ParameterShape[] = []

  add(name: string, shape: readonly number[], layout: ParameterShape['layout'] = 'same'): void {
    this.found.push({ name, shape, layout })
  }

  /** Any normalisation: a scale and a shift. */
  norm(path: string, channels: number): void {
    this.add(`${path}.weight`, [channels])
    this.add(`${path}.bias`, [channels])
  }

  linear(path: string, inFeatures: number, outFeatures: number, layout: 'same' | 'conv1x1' = 'same'): void {
    this.add(`${path}.weight`, [outFeatures, inFeatures], layout)
    this.add(`${path}.bias`, [outFeatures])
  }

  conv(path: string, inChannels: number, outChannels: number, kernel = 3): void {
    this.add(`${path}.weight`, [outChannels, kernel, kernel, inChannels], 'conv')
    this.add(`${path}.bias`, [outChannels])
  }

  /** @param timeFeatures null for the VAE's, which know no time */
  resnet(path: string, inChannels: number, outChannels: number, timeFeatures: number | null): void {
    this.norm(`${path}.norm1`, inChannels)
    this.conv(`${path}.conv1`, inChannels, outChannels)
    if (timeFeatures !== null) this.linear(`${path}.time_emb_proj`, timeFeatures, outChannels)
    this.norm(`${path}.norm2`, outChannels)
    this.conv(`${path}.conv2`, outChannels, outChannels)
    if (inChannels !== outChannels) this.conv(`${path}.conv_shortcut`, inChannels, outChannels, 1)
  }

  transformer(path: string, channels: number, { linearProjection, crossAttentionDim }: UNetConfig): void {
    const block = `${path}.transformer_blocks.0`
    const projection = linearProjection ? 'same' : 'conv1x1'
    const attention = (name: string, contextDim: number): void => {
      this.add(`${block}.${name}.to_q.weight`, [channels, channels])
      this.add(`${block}.${name}.to_k.weight`, [channels, contextDim])
      this.add(`${block}.${name}.to_v.weight`, [channels, contextDim])
      this.linear(`${block}.${name}.to_out.0`, channels, channels)
    }
    this.norm(`${path}.norm`, channels)
    this.linear(`${path}.proj_in`, channels, channels, projection)
    attention('attn1', channels)
    this.linear(`${block}.ff.net.0.proj`, channels, 8 * channels)
    this.linear(`${block}.ff.net.2`, 4 * channels, channels)
    attention('attn2', crossAttentionDim)
    for (const i of [1, 2, 3]) this.norm(`${block}.norm${i}`, channels)
    this.linear(`${path}.proj_out`, channels, channels, projection)
  }

  pixelAttention(path: string, channels: number): void {
    this.norm(`${path}.group_norm`, channels)
    for (const name of ['to_q', 'to_k', 'to_v', 'to_out.0']) this.linear(`${path}.${name}`, channels, channels)
  }
}

function unetParameters(config: UNetConfig): ParameterShape[] {
  const { blockOutChannels: channels, layersPerBlock, inChannels, outChannels } = config
  const [first, last] = [channels[0]!, channels.at(-1)!]
  const deepest = channels.length - 1
  const time = 4 * first
  const list = new Parameters()
  const transformers = (block: string, count: number, width: number): void => {
    for (let i = 0; i < count; i++) list.transformer(`${block}.attentions.${i}`, width, config)
  }
  list.conv('conv_in', inChannels, first)
  list.linear('time_embedding.linear_1', first, time)
  list.linear('time_embedding.linear_2', time, time)
  channels.forEach((width, level) => {
    const block = `down_blocks.${level}`
    const before = channels[Math.max(0, level - 1)]!
    if (level < deepest) transformers(block, layersPerBlock, width)
    for (let i = 0; i < layersPerBlock; i++) list.resnet(`${block}.resnets.${i}`, i === 0 ? before : width, width, time)
    if (level < deepest) list.conv(`${block}.downsamplers.0.conv`, width, width)
  })
  channels.forEach((_, index) => {
    const level = deepest - index
    const block = `up_blocks.${index}`
    const width = channels[level]!
    const below = channels[Math.min(deepest, level + 1)]!
    if (level < deepest) transformers(block, layersPerBlock + 1, width)
    for (let i = 0; i <= layersPerBlock; i++) {
      const skip = i === layersPerBlock ? channels[Math.max(0, level - 1)]! : width
      list.resnet(`${block}.resnets.${i}`, (i === 0 ? below : width) + skip, width, time)
    }
    if (level > 0) list.conv(`${block}.upsamplers.0.conv`, width, width)
  })
  transformers('mid_block', 1, last)
  for (const i of [0, 1]) list.resnet(`mid_block.resnets.${i}`, last, last, time)
  list.norm('conv_norm_out', first)
  list.conv('conv_out', first, outChannels)
  return list.found
}

function textEncoderParameters(config: ClipTextConfig): ParameterShape[] {
  const { hiddenSize: d, intermediateSize, layers, vocabSize, positions } = config
  const list = new Parameters()
  list.add('text_model.embeddings.token_embedding.weight', [vocabSize, d])
  list.add('text_model.embeddings.position_embedding.weight', [positions, d])
  for (let i = 0; i < layers; i++) {
    const layer = `text_model.encoder.layers.${i}`
    for (const name of ['k_proj', 'v_proj', 'q_proj', 'out_proj']) list.linear(`${layer}.self_attn.${name}`, d, d)
    list.norm(`${layer}.layer_norm1`, d)
    list.linear(`${layer}.mlp.fc1`, d, intermediateSize)
    list.linear(`${layer}.mlp.fc2`, intermediateSize, d)
    list.norm(`${layer}.layer_norm2`, d)
  }
  list.norm('text_model.final_layer_norm', d)
  return list.found
}

function vaeParameters({ blockOutChannels, layersPerBlock, latentChannels }: VaeConfig): ParameterShape[] {
  const list = new Parameters()
  const levels = (
    half: string,
    channels: readonly number[],
    layers: number,
    sampler: 'downsamplers' | 'upsamplers',
  ): void => {
    channels.forEach((width, level) => {
      const before = channels[Math.max(0, level - 1)]!
      for (let i = 0; i < layers; i++)
        list.resnet(`${half}.${level}.resnets.${i}`, i === 0 ? before : width, width, null)
      if (level < channels.length - 1) list.conv(`${half}.${level}.${sampler}.0.conv`, width, width)
    })
  }
  const middle = (half: string, channels: number): void => {
    list.pixelAttention(`${half}.mid_block.attentions.0`, channels)
    for (const i of [0, 1]) list.resnet(`${half}.mid_block.resnets.${i}`, channels, channels, null)
  }
  const [first, last] = [blockOutChannels[0]!, blockOutChannels.at(-1)!]
  list.conv('encoder.conv_in', 3, first)
  levels('encoder.down_blocks', blockOutChannels, layersPerBlock, 'downsamplers')
  middle('encoder', last)
  list.norm('encoder.conv_norm_out', last)
  list.conv('encoder.conv_out', last, 2 * latentChannels)
  list.conv('decoder.conv_in', latentChannels, last)
  middle('decoder', last)
  levels('decoder.up_blocks', blockOutChannels.toReversed(), layersPerBlock + 1, 'upsamplers')
  list.norm('decoder.conv_norm_out', first)
  list.conv('decoder.conv_out', first, 3)
  list.conv('quant_conv', 2 * latentChannels, 2 * latentChannels, 1)
  list.conv('post_quant_conv', latentChannels, latentChannels, 1)
  return list.found
}
