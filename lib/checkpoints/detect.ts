/** What a file of tensors is, told from its keys, shapes and metadata alone: no tensor is read. */
import type { FileDType } from '../io/tensorBytes.ts'
import { TorchTensor } from '../io/torchTensor.ts'
import type { ModelPart } from '../models/stableDiffusion/stableDiffusion.ts'
import { isPositionIds } from './keys/ldmKeys.ts'
import { repairKey, textEncoderPrefixes } from './keys/textEncoder.ts'
import { unetPrefix } from './keys/unet.ts'
import { vaePrefix } from './keys/vae.ts'
import { foreignFamily, type TensorIndex, unetVariant } from './modelFamilies.ts'
import { type PredictionStatement, statedPrediction } from './predictionType.ts'

export type CheckpointKind =
  /** A single file with the U-Net of Stable Diffusion 1.x or 2.x, usually with text encoder and VAE. */
  | 'stableDiffusion'
  /** One network in the names of diffusers or transformers. */
  | 'diffusersUNet'
  | 'diffusersVae'
  | 'textEncoder'
  /** A VAE in the names of single files, with or without `first_stage_model.`. */
  | 'ldmVae'
  | 'lora'
  | 'textualInversion'
  /** A family that this version names but does not work with. */
  | 'foreign'
  | 'unknown'

/** One part of a checkpoint. */
export interface PartReport {
  readonly tensorCount: number
  readonly parameterCount: number
  readonly bytes: number
  /** Types of its floating-point tensors, the most frequent first. */
  readonly dtypes: readonly FileDType[]
}

export interface CheckpointReport {
  readonly path: string
  readonly kind: CheckpointKind
  /** In words: `Stable Diffusion 2.x`, `SDXL base`. */
  readonly description: string
  /** Null where the file does not tell. */
  readonly version: 1 | 2 | null
  /** Null for a part that the file does not have. All null unless the kind is `stableDiffusion`. */
  readonly parts: Readonly<Record<ModelPart, PartReport | null>>
  /** The whole file. */
  readonly all: PartReport
  /** Averaged weights lie beside the trained ones. They are kept when saving and never used. */
  readonly ema: boolean
  /** What the file states; null where it states nothing. */
  readonly prediction: PredictionStatement | null
  /** Why training and drawing with this file are refused; null where nothing speaks against them. */
  readonly refusal: string | null
}

/** The keys of each part, 1.x text encoders as repaired. */
export function partOfKey(key: string): ModelPart | null {
  if (key.startsWith(unetPrefix)) return 'unet'
  if (key.startsWith(vaePrefix)) return 'vae'
  if (key.startsWith('cond_stage_model.') && !isPositionIds(key)) return 'textEncoder'
  return null
}

/**
 * What a file is, from its index.
 * @example detectCheckpoint(await openSafetensors('model.safetensors')).description
 */
export function detectCheckpoint(index: TensorIndex): CheckpointReport {
  const { path, names } = index
  const { kind, description, version = null, refusal = null } = classify(index)
  const part = (wanted: ModelPart): PartReport | null =>
    kind === 'stableDiffusion'
      ? summarize(
          index,
          names.filter((name) => partOfKey(name) === wanted),
        )
      : null
  return {
    path,
    kind,
    description,
    version,
    parts: { unet: part('unet'), textEncoder: part('textEncoder'), vae: part('vae') },
    all: summarize(index, names) ?? { tensorCount: 0, parameterCount: 0, bytes: 0, dtypes: [] },
    ema: names.some((name) => name.startsWith('model_ema.')),
    prediction: statedPrediction(index),
    refusal,
  }
}

/** Counts the tensors of those names; null for none. */
export function summarize(index: TensorIndex, names: readonly string[]): PartReport | null {
  if (names.length === 0) return null
  const counts = new Map<FileDType, number>()
  let [parameterCount, bytes] = [0, 0]
  for (const name of names) {
    const { dtype, shape, byteLength } = index.info(name)
    parameterCount += shape.reduce((product, size) => product * size, 1)
    bytes += byteLength
    if (/^B?F\d/.test(dtype)) counts.set(dtype, (counts.get(dtype) ?? 0) + 1)
  }
  const dtypes = [...counts].sort((a, b) => b[1] - a[1]).map(([dtype]) => dtype)
  return { tensorCount: names.length, parameterCount, bytes, dtypes }
}

interface Verdict {
  readonly kind: CheckpointKind
  readonly description: string
  readonly version?: 1 | 2 | null
  readonly refusal?: string
}

const loraKey =
  /\.(lora_(down|up|A|B)(\.\w+)?\.weight|lora\.(down|up)\.weight|lora_linear_layer\.(down|up)\.weight|hada_w[12]_[ab]|lokr_w[12](_[ab])?|oft_blocks)$/

function classify(index: TensorIndex): Verdict {
  const { names } = index
  if (index.outer?.has('string_to_param')) return pickledEmbedding(index.outer.get('string_to_param'))
  if (names.length === 0)
    return { kind: 'unknown', description: 'a file without tensors', refusal: 'it has no tensors' }
  const lora = names.find((name) => loraKey.test(name))
  if (lora !== undefined)
    return { kind: 'lora', description: lora.includes('.hada_') ? 'LoHa' : lora.includes('.lokr_') ? 'LoKr' : 'LoRA' }
  const embedding = textualInversion(index)
  if (embedding !== null) return embedding
  const foreign = foreignFamily(index)
  if (foreign !== undefined)
    return {
      kind: 'foreign',
      description: foreign.name,
      refusal: `it is ${foreign.name} (it has "${foreign.key}")`,
    }
  if (names.some((name) => name.startsWith(`${unetPrefix}input_blocks.`))) return stableDiffusion(index)
  if (index.has('conv_in.weight') && names.some((name) => name.startsWith('down_blocks.'))) {
    const channels = index.info('conv_in.weight').shape[1] ?? 4
    return variant('diffusersUNet', 'U-Net in the names of diffusers', diffusersVersion(index), channels)
  }
  if (names.some((name) => name.startsWith('encoder.down_blocks.')))
    return { kind: 'diffusersVae', description: 'VAE in the names of diffusers' }
  if (names.some((name) => /^(first_stage_model\.)?(encoder\.down|decoder\.up)\.0\.block\./.test(name)))
    return { kind: 'ldmVae', description: 'VAE in the names of single-file checkpoints' }
  if (names.some((name) => /^(text_model\.)?encoder\.layers\.0\./.test(name) || name.startsWith('cond_stage_model.')))
    return { kind: 'textEncoder', description: 'text encoder' }
  return { kind: 'unknown', description: 'unknown tensors', refusal: `its tensors are unknown: ${listed(names, 3)}` }
}

/** Names for messages: the first ones, and how many more. */
export function listed(names: readonly string[], most = 10): string {
  const more = names.length - most
  return (
    names
      .slice(0, most)
      .map((name) => `"${name}"`)
      .join(', ') + (more > 0 ? ` and ${more} more` : '')
  )
}

function diffusersVersion(index: TensorIndex): 1 | 2 | null {
  const key = index.names.find((name) => name.endsWith('attn2.to_k.weight'))
  const width = key && index.info(key).shape[1]
  return width === 768 ? 1 : width === 1024 ? 2 : null
}

function variant(kind: CheckpointKind, description: string, version: 1 | 2 | null, channels: number): Verdict {
  const special = unetVariant(channels)
  if (special === undefined) return { kind, description, version }
  return { kind, version, description: `${description}: ${special}`, refusal: `its U-Net belongs to ${special}` }
}

function stableDiffusion(index: TensorIndex): Verdict {
  const version = ldmVersion(index)
  const channels = index.has(`${unetPrefix}input_blocks.0.0.weight`)
    ? (index.info(`${unetPrefix}input_blocks.0.0.weight`).shape[1] ?? 4)
    : 4
  const description = version === null ? 'Stable Diffusion without a text encoder' : `Stable Diffusion ${version}.x`
  return variant('stableDiffusion', description, version, channels)
}

/** The text encoder tells; without one, the width of what the U-Net attends to. */
function ldmVersion(index: TensorIndex): 1 | 2 | null {
  for (const name of index.names) {
    const key = repairKey(name)
    if (isPositionIds(key)) continue
    if (key.startsWith(textEncoderPrefixes[1])) return 1
    if (key.startsWith(textEncoderPrefixes[2])) return 2
  }
  return diffusersVersion(index)
}

/** Vectors of words: a few rows of the width of a text encoder, under the names of the tools that write them. */
function textualInversion(index: TensorIndex): Verdict | null {
  const { names } = index
  const kind = 'textualInversion'
  if (index.has('clip_g') && index.has('clip_l'))
    return { kind, description: 'textual inversion for SDXL', refusal: 'its vectors are for SDXL' }
  const key = names.find((name) => name === 'emb_params' || name.startsWith('string_to_param.'))
  const single = names.length === 1 ? names[0] : undefined
  const found = key ?? single
  if (found === undefined) return null
  const { shape } = index.info(found)
  const width = shape.at(-1)
  if (key === undefined && (shape.length > 2 || (width !== 768 && width !== 1024))) return null
  return { kind, description: 'textual inversion', version: width === 768 ? 1 : width === 1024 ? 2 : null }
}

/** The form of the first tool: the vectors are one level down in the file. */
function pickledEmbedding(vectors: unknown): Verdict {
  const first: unknown = vectors instanceof Map ? [...vectors.values()][0] : undefined
  const width = first instanceof TorchTensor ? first.shape.at(-1) : undefined
  const version = width === 768 ? 1 : width === 1024 ? 2 : null
  return { kind: 'textualInversion', description: 'textual inversion', version }
}
