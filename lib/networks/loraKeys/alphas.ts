/** Alphas that PEFT keeps beside the tensors: in a text of the file's metadata, or in a file `adapter_config.json`. */
import type { LayerShape } from '../../models/stableDiffusion/layerShapes.ts'
import { CheckpointError } from '../../util/errors.ts'

type Json = Readonly<Record<string, unknown>>

/** The alpha of a layer of a given rank, or null where the configuration does not say. */
export type AlphaSource = (layer: LayerShape, rank: number) => number | null

/** Name of the text in a file's metadata. */
export const ADAPTER_METADATA_KEY = 'lora_adapter_metadata'

/**
 * Reads a configuration of PEFT: `lora_alpha`, `alpha_pattern`, `use_rslora`; for both parts at once, or for each with the prefix
 * `unet.` or `text_encoder.`.
 *
 * @param text JSON
 * @throws CheckpointError when it is not a JSON object, or asks for DoRA
 */
export function adapterAlphas(path: string, text: string): AlphaSource {
  const config = parse(path, text)
  const partOf = (part: LayerShape['part']): Json => {
    const prefix = part === 'unet' ? 'unet.' : 'text_encoder.'
    const own = Object.entries(config).filter(([key]) => key.startsWith(prefix))
    return own.length === 0 ? config : Object.fromEntries(own.map(([key, value]) => [key.slice(prefix.length), value]))
  }
  const parts = { unet: partOf('unet'), textEncoder: partOf('textEncoder') }
  for (const part of Object.values(parts))
    if (part.use_dora === true)
      throw new CheckpointError(path, 'holds DoRA (use_dora), which is not read; expected a plain LoRA')
  return (layer, rank) => {
    const part = parts[layer.part]
    const alpha = patternValue(part.alpha_pattern, layer.path) ?? part.lora_alpha
    if (typeof alpha !== 'number') return null
    // Rank-stabilised LoRA divides by the root of the rank.
    return part.use_rslora === true ? alpha * Math.sqrt(rank) : alpha
  }
}

function parse(path: string, text: string): Json {
  try {
    const value: unknown = JSON.parse(text)
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Json
  } catch (error) {
    throw new CheckpointError(path, `the configuration of the adapter is not JSON (${(error as Error).message})`)
  }
  throw new CheckpointError(path, `the configuration of the adapter is not a JSON object: ${text.slice(0, 40)}`)
}

/** The value of the first pattern that is the path or its end. A leading `^` asks for the whole path. */
function patternValue(patterns: unknown, path: string): unknown {
  if (typeof patterns !== 'object' || patterns === null) return undefined
  const short = path.replace(/^text_model\./, '')
  const hit = Object.entries(patterns).find(([pattern]) => {
    if (pattern.startsWith('^')) return [path, short].includes(pattern.slice(1))
    return `.${path}`.endsWith(`.${pattern}`)
  })
  return hit?.[1]
}
