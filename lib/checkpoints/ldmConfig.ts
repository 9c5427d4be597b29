/** The sizes of a model from the shapes of its tensors. */
import type { ClipTextConfig } from '../models/clip/config.ts'
import type { StableDiffusionConfig, UNetConfig, VaeConfig } from '../models/stableDiffusion/config.ts'
import { CheckpointError } from '../util/errors.ts'
import { textEncoderPrefixes } from './keys/textEncoder.ts'
import { unetPrefix } from './keys/unet.ts'
import type { TensorIndex } from './modelFamilies.ts'

/**
 * What shapes do not tell. Published models follow one rule: groups of 32, 8 heads in U-Nets of 1.x, else heads of 64 channels,
 * latents scaled by 0.18215. Models of other proportions need them given, or find them in the metadata that
 * {@link saveLdmCheckpoint} writes.
 */
export interface UnseenSizes {
  /** Attention heads of each level of the U-Net. */
  readonly unetHeads?: readonly number[] | undefined
  readonly unetGroups?: number | undefined
  readonly textHeads?: number | undefined
  readonly vaeGroups?: number | undefined
  readonly scalingFactor?: number | undefined
}

/** Metadata of models whose sizes do not follow the rule, as JSON of {@link UnseenSizes}. */
export const sizesMetadataKey = 'noisewright.sizes'

export const defaultScalingFactor = 0.18215

/** The sizes that a file's metadata gives; empty where there are none. */
export function sizesOfMetadata({ path, metadata }: TensorIndex): UnseenSizes {
  const text = metadata.get(sizesMetadataKey)
  if (text === undefined) return {}
  const refuse = (): CheckpointError =>
    new CheckpointError(
      path,
      `metadata "${sizesMetadataKey}" must be JSON of positive numbers, found ${text.slice(0, 80)}`,
    )
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    throw refuse()
  }
  const positive = (size: unknown): boolean => typeof size === 'number' && Number.isFinite(size) && size > 0
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw refuse()
  for (const size of Object.values(value))
    if (!(Array.isArray(size) ? size.every(positive) : positive(size))) throw refuse()
  return value as UnseenSizes
}

/** The metadata text for a model that needs one; undefined when shapes tell everything. */
export function sizesForMetadata({ version, unet, textEncoder, vae }: StableDiffusionConfig): string | undefined {
  const differs = (actual: unknown, rule: unknown): boolean => JSON.stringify(actual) !== JSON.stringify(rule)
  const sizes: UnseenSizes = {
    ...(differs(unet.heads, unetHeads(version, unet.blockOutChannels)) ? { unetHeads: unet.heads } : {}),
    ...(differs(unet.groups, groupRule(unet.blockOutChannels)) ? { unetGroups: unet.groups } : {}),
    ...(differs(textEncoder.heads, textHeads(textEncoder.hiddenSize)) ? { textHeads: textEncoder.heads } : {}),
    ...(differs(vae.groups, groupRule(vae.blockOutChannels)) ? { vaeGroups: vae.groups } : {}),
    ...(differs(vae.scalingFactor, defaultScalingFactor) ? { scalingFactor: vae.scalingFactor } : {}),
  }
  return Object.keys(sizes).length === 0 ? undefined : JSON.stringify(sizes)
}

function groupRule(channels: readonly number[]): number | undefined {
  return channels.every((count) => count % 32 === 0) ? 32 : undefined
}

function textHeads(width: number): number | undefined {
  return width % 64 === 0 ? width / 64 : undefined
}

function unetHeads(version: 1 | 2, channels: readonly number[]): readonly number[] | undefined {
  if (version === 1) return channels.every((count) => count % 8 === 0) ? channels.map(() => 8) : undefined
  return channels.every((count) => count % 64 === 0) ? channels.map((count) => count / 64) : undefined
}

/** A size that shapes leave open: as given, by the rule, or refused. It must divide what it splits. */
function settle<Size extends number | readonly number[]>(
  index: TensorIndex,
  what: keyof UnseenSizes,
  given: Size | undefined,
  rule: Size | undefined,
  channels: readonly number[],
): Size {
  const size = given ?? rule
  const found = `channels ${channels.join(', ')}`
  if (size === undefined)
    throw new CheckpointError(index.path, `the model has ${found}, which do not tell "${what}"; give it in "sizes"`)
  const sizes: readonly number[] = typeof size === 'number' ? channels.map(() => size) : size
  if (sizes.length !== channels.length || channels.some((count, i) => count % sizes[i]! !== 0))
    throw new CheckpointError(index.path, `"${what}" must divide the ${found} of the model, found ${sizes.join(', ')}`)
  return size
}

function dimension(index: TensorIndex, key: string, axis: number): number {
  const { shape } = index.info(key)
  const size = shape[axis]
  if (size === undefined || size < 1)
    throw new CheckpointError(index.path, `tensor "${key}" has shape [${shape.join(', ')}], too small to be a weight`)
  return size
}

/** How many of the keys there are, counted from 0 without a gap. */
function countKeys(index: TensorIndex, key: (i: number) => string): number {
  let count = 0
  while (index.has(key(count))) count++
  return count
}

/** The U-Net's sizes. @throws CheckpointError for a missing key or sizes that cannot be */
export function unetConfigOf(index: TensorIndex, version: 1 | 2, sizes: UnseenSizes = {}): UNetConfig {
  const key = (name: string): string => `${unetPrefix}${name}.weight`
  const samplers = index.names
    .map((name) => /^model\.diffusion_model\.input_blocks\.(\d+)\.0\.op\.weight$/.exec(name)?.[1])
    .filter((block) => block !== undefined)
    .map(Number)
  const first = Math.min(...samplers)
  if (samplers.length === 0 || first < 2)
    throw new CheckpointError(index.path, `expected downsamplers such as "${key('input_blocks.3.0.op')}", found none`)
  const blockOutChannels = Array.from({ length: samplers.length + 1 }, (_, level) =>
    dimension(index, key(`input_blocks.${level * first + 1}.0.out_layers.3`), 0),
  )
  return {
    inChannels: dimension(index, key('input_blocks.0.0'), 1),
    outChannels: dimension(index, key('out.2'), 0),
    blockOutChannels,
    layersPerBlock: first - 1,
    heads: settle(index, 'unetHeads', sizes.unetHeads, unetHeads(version, blockOutChannels), blockOutChannels),
    crossAttentionDim: dimension(index, key('input_blocks.1.1.transformer_blocks.0.attn2.to_k'), 1),
    groups: settle(index, 'unetGroups', sizes.unetGroups, groupRule(blockOutChannels), blockOutChannels),
    linearProjection: index.info(key('input_blocks.1.1.proj_in')).shape.length === 2,
  }
}

/**
 * The text encoder's sizes. OpenCLIP's last layer is not used: 23 of 24, unless the file has been stripped of it.
 * @throws CheckpointError for a missing key or sizes that cannot be
 */
export function textConfigOf(index: TensorIndex, version: 1 | 2, sizes: UnseenSizes = {}): ClipTextConfig {
  const key = (name: string): string => textEncoderPrefixes[version] + name
  const names =
    version === 1
      ? {
          token: 'text_model.embeddings.token_embedding.weight',
          position: 'text_model.embeddings.position_embedding.weight',
          layer: 'text_model.encoder.layers',
          mlp: 'mlp.fc1.weight',
        }
      : {
          token: 'token_embedding.weight',
          position: 'positional_embedding',
          layer: 'transformer.resblocks',
          mlp: 'mlp.c_fc.weight',
        }
  const mlp = (i: number): string => key(`${names.layer}.${i}.${names.mlp}`)
  const count = countKeys(index, mlp)
  const hiddenSize = dimension(index, key(names.token), 1)
  return {
    vocabSize: dimension(index, key(names.token), 0),
    hiddenSize,
    intermediateSize: dimension(index, mlp(0), 0),
    layers: version === 1 || count === 23 ? count : count - 1,
    heads: settle(index, 'textHeads', sizes.textHeads, textHeads(hiddenSize), [hiddenSize]),
    positions: dimension(index, key(names.position), 0),
    activation: version === 1 ? 'quickGelu' : 'gelu',
  }
}

/** Where the two layouts of a VAE tell its sizes. */
const vaeNames = {
  ldm: {
    level: (level: number, layer: number) => `first_stage_model.encoder.down.${level}.block.${layer}.conv1.weight`,
    latents: 'first_stage_model.post_quant_conv.weight',
  },
  diffusers: {
    level: (level: number, layer: number) => `encoder.down_blocks.${level}.resnets.${layer}.conv1.weight`,
    latents: 'post_quant_conv.weight',
  },
} as const

/** The VAE's sizes. @throws CheckpointError for a missing key or sizes that cannot be */
export function vaeConfigOf(index: TensorIndex, style: keyof typeof vaeNames, sizes: UnseenSizes = {}): VaeConfig {
  const { level, latents } = vaeNames[style]
  const levels = Math.max(
    1,
    countKeys(index, (i) => level(i, 0)),
  )
  const blockOutChannels = Array.from({ length: levels }, (_, i) => dimension(index, level(i, 0), 0))
  return {
    blockOutChannels,
    layersPerBlock: countKeys(index, (layer) => level(0, layer)),
    latentChannels: dimension(index, latents, 0),
    groups: settle(index, 'vaeGroups', sizes.vaeGroups, groupRule(blockOutChannels), blockOutChannels),
    scalingFactor: sizes.scalingFactor ?? defaultScalingFactor,
  }
}
