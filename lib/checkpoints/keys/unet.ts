/**
 * The U-Net's modules in single-file checkpoints: one running number over the blocks of each direction, counted as the original
 * latent-diffusion code builds them (Rombach et al., 2022): every resnet, with its transformer, is a block, and so is every downsampler.
 */
import type { UNetConfig } from '../../models/stableDiffusion/config.ts'
import { ModuleMap, type ModulePair, upTo } from './moduleMap.ts'

export const unetPrefix = 'model.diffusion_model.'

/** What the names depend on. */
export type UNetTopology = Pick<UNetConfig, 'blockOutChannels' | 'layersPerBlock'>

const resnet: readonly ModulePair[] = [
  ['norm1', 'in_layers.0'],
  ['conv1', 'in_layers.2'],
  ['time_emb_proj', 'emb_layers.1'],
  ['norm2', 'out_layers.0'],
  ['conv2', 'out_layers.3'],
  ['conv_shortcut', 'skip_connection'],
]

function resnetPairs(ours: string, ldm: string): ModulePair[] {
  return resnet.map(([name, key]) => [`${ours}.${name}`, `${ldm}.${key}`])
}

/** Inside a transformer the names are the same. */
function unetModules({ blockOutChannels, layersPerBlock }: UNetTopology): ModulePair[] {
  const levels = blockOutChannels.length
  const period = layersPerBlock + 1
  const pairs: ModulePair[] = [
    ['time_embedding.linear_1', 'time_embed.0'],
    ['time_embedding.linear_2', 'time_embed.2'],
    ['conv_in', 'input_blocks.0.0'],
    ['conv_norm_out', 'out.0'],
    ['conv_out', 'out.2'],
    ...resnetPairs('mid_block.resnets.0', 'middle_block.0'),
    ['mid_block.attentions.0', 'middle_block.1'],
    ...resnetPairs('mid_block.resnets.1', 'middle_block.2'),
  ]
  for (const level of upTo(levels)) {
    const [down, up] = [`down_blocks.${level}`, `up_blocks.${level}`]
    for (const layer of upTo(layersPerBlock)) {
      const block = `input_blocks.${level * period + layer + 1}`
      pairs.push(...resnetPairs(`${down}.resnets.${layer}`, `${block}.0`))
      if (level < levels - 1) pairs.push([`${down}.attentions.${layer}`, `${block}.1`])
    }
    if (level < levels - 1) pairs.push([`${down}.downsamplers.0.conv`, `input_blocks.${(level + 1) * period}.0.op`])
    for (const layer of upTo(period)) {
      const block = `output_blocks.${level * period + layer}`
      pairs.push(...resnetPairs(`${up}.resnets.${layer}`, `${block}.0`))
      if (level > 0) pairs.push([`${up}.attentions.${layer}`, `${block}.1`])
    }
    // The first level up has no transformer before its upsampler.
    const last = `output_blocks.${level * period + layersPerBlock}.${level === 0 ? 1 : 2}`
    if (level < levels - 1) pairs.push([`${up}.upsamplers.0.conv`, `${last}.conv`])
  }
  return pairs
}

/** Names without prefixes: `down_blocks.0.resnets.0.norm1.weight` and `input_blocks.1.0.in_layers.0.weight`. */
export function unetKeys(config: UNetTopology): ModuleMap {
  return new ModuleMap(unetModules(config))
}
