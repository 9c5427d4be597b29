/** The autoencoder's modules in single-file checkpoints. Decoder levels are numbered the other way round there. */
import type { VaeConfig } from '../../models/stableDiffusion/config.ts'
import { ModuleMap, type ModulePair, upTo } from './moduleMap.ts'

export const vaePrefix = 'first_stage_model.'

/** What the names depend on. */
export type VaeTopology = Pick<VaeConfig, 'blockOutChannels' | 'layersPerBlock'>

const attention: readonly ModulePair[] = [
  ['group_norm', 'norm'],
  ['to_q', 'q'],
  ['to_k', 'k'],
  ['to_v', 'v'],
  ['to_out.0', 'proj_out'],
]

/** The rest of a resnet has the same names. */
function resnetPairs(ours: string, ldm: string): ModulePair[] {
  return [
    [ours, ldm],
    [`${ours}.conv_shortcut`, `${ldm}.nin_shortcut`],
  ]
}

function vaeModules({ blockOutChannels, layersPerBlock }: VaeTopology): ModulePair[] {
  const levels = blockOutChannels.length
  const pairs: ModulePair[] = [
    ['quant_conv', 'quant_conv'],
    ['post_quant_conv', 'post_quant_conv'],
  ]
  for (const half of ['encoder', 'decoder']) {
    for (const name of ['conv_in', 'conv_out']) pairs.push([`${half}.${name}`, `${half}.${name}`])
    pairs.push([`${half}.conv_norm_out`, `${half}.norm_out`])
    for (const i of [0, 1]) pairs.push(...resnetPairs(`${half}.mid_block.resnets.${i}`, `${half}.mid.block_${i + 1}`))
    for (const [ours, ldm] of attention)
      pairs.push([`${half}.mid_block.attentions.0.${ours}`, `${half}.mid.attn_1.${ldm}`])
  }
  for (const level of upTo(levels)) {
    const [down, up] = [`encoder.down_blocks.${level}`, `decoder.up_blocks.${level}`]
    const [ldmDown, ldmUp] = [`encoder.down.${level}`, `decoder.up.${levels - 1 - level}`]
    for (const layer of upTo(layersPerBlock))
      pairs.push(...resnetPairs(`${down}.resnets.${layer}`, `${ldmDown}.block.${layer}`))
    for (const layer of upTo(layersPerBlock + 1))
      pairs.push(...resnetPairs(`${up}.resnets.${layer}`, `${ldmUp}.block.${layer}`))
    if (level === levels - 1) continue
    pairs.push([`${down}.downsamplers.0.conv`, `${ldmDown}.downsample.conv`])
    pairs.push([`${up}.upsamplers.0.conv`, `${ldmUp}.upsample.conv`])
  }
  return pairs
}

/** Names without prefixes: `encoder.down_blocks.0.resnets.0.conv1.weight` and `encoder.down.0.block.0.conv1.weight`. */
export function vaeKeys(config: VaeTopology): ModuleMap {
  return new ModuleMap(vaeModules(config))
}

/** Projections that single files store as 1x1 convolutions, [o, i, 1, 1]: those of the attention. */
export function isVaeAttentionWeight(key: string): boolean {
  return /\.mid\.attn_1\.(q|k|v|proj_out)\.weight$/.test(key)
}

/** Older diffusers libraries named the attention differently. */
const oldNames: readonly ModulePair[] = [
  ['.to_q.', '.query.'],
  ['.to_k.', '.key.'],
  ['.to_v.', '.value.'],
  ['.to_out.0.', '.proj_attn.'],
]

/** Other names that a parameter may have in diffusers files. */
export function oldVaeNames(name: string): string[] {
  return oldNames.filter(([current]) => name.includes(current)).map(([current, old]) => name.replace(current, old))
}
