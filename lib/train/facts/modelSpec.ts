/** The `modelspec.*` texts in the metadata of files: what a file is, for tools that list models (Stability AI, "ModelSpec", 1.0.0). */
import type { StableDiffusionConfig } from '../../models/stableDiffusion/config.ts'
import type { TrainConfig } from '../trainConfig.ts'

export interface ModelSpecFacts {
  readonly what: 'model' | 'lora' | 'textual-inversion'
  /** Unix time in seconds. */
  readonly savedAt: number
}

const suffixes = { model: '', lora: '/lora', 'textual-inversion': '/textual-inversion' } as const
const names = { model: 'Checkpoint', lora: 'LoRA', 'textual-inversion': 'TextualInversion' } as const

/** Nothing where the configuration asks for no metadata. */
export function modelSpec(
  { version, predictionType }: StableDiffusionConfig,
  { output, model, noise }: TrainConfig,
  { what, savedAt }: ModelSpecFacts,
): Record<string, string> {
  if (output.noMetadata) return {}
  const velocity = predictionType === 'v_prediction'
  const family = version === 1 ? 'stable-diffusion-v1' : `stable-diffusion-v2-${velocity ? '768-v' : '512'}`
  const { title, author, description, license, tags, ...others } = output.metadata ?? {}
  const { minTimestep = null, maxTimestep = null } = noise ?? {}
  const range = minTimestep === null && maxTimestep === null ? null : `${minTimestep ?? 0},${maxTimestep ?? 1000}`
  const size = version === 2 && velocity ? 768 : 512
  const texts: Readonly<Record<string, string | null | undefined>> = {
    sai_model_spec: '1.0.0',
    architecture: family + suffixes[what],
    implementation: what === 'model' ? 'https://github.com/Stability-AI/generative-models' : 'diffusers',
    title: title ?? output.name ?? `${names[what]}@${Math.floor(savedAt)}`,
    resolution: `${size}x${size}`,
    prediction_type: velocity ? 'v' : 'epsilon',
    date: localTime(new Date(savedAt * 1000)),
    author,
    description,
    license,
    tags,
    trigger_phrase: others.triggerPhrase,
    usage_hint: others.usageHint,
    thumbnail: others.thumbnail,
    merged_from: others.mergedFrom,
    preprocessor: others.preprocessor,
    is_negative_embedding: others.isNegativeEmbedding,
    timestep_range: range,
    encoder_layer: model.clipSkip === null ? null : String(model.clipSkip),
  }
  const given = Object.entries(texts).filter((entry): entry is [string, string] => typeof entry[1] === 'string')
  return Object.fromEntries(given.map(([key, text]) => [`modelspec.${key}`, text]))
}

/** `2026-01-31T12:00:00`, of this machine's clock. */
function localTime(time: Date): string {
  const two = (value: number): string => String(value).padStart(2, '0')
  const day = [time.getFullYear(), two(time.getMonth() + 1), two(time.getDate())].join('-')
  return `${day}T${[time.getHours(), time.getMinutes(), time.getSeconds()].map(two).join(':')}`
}
