/** A model as a list of tensors that writers take, wherever the tensors come from: memory, files, or computed on the way. */
import type { SafetensorsTensor } from '../io/safetensors.ts'
import { entryBytes } from '../io/safetensorsHeader.ts'
import { bytesToFloat32, type FileDType, float32ToBytes } from '../io/tensorBytes.ts'
import type { StableDiffusionConfig } from '../models/stableDiffusion/config.ts'
import type { ModelPart } from '../models/stableDiffusion/stableDiffusion.ts'
import type { SavePrecision } from '../networks/kohyaLora.ts'
import { type ModelSource, modelParts } from './modelSource.ts'

/** Types that parameters are written in. */
export type ParameterFileDType = 'F32' | 'F16' | 'BF16'

/** The types that the option `save_precision` names. */
export const precisionTypes = { float: 'F32', fp16: 'F16', bf16: 'BF16' } as const satisfies Record<
  SavePrecision,
  ParameterFileDType
>

/** Parameters of each part, in the names and shapes of diffusers; bytes are fetched when their turn comes. */
export interface ModelEntries {
  readonly config: StableDiffusionConfig
  readonly parts: Readonly<Record<ModelPart, readonly SafetensorsTensor[]>>
}

/** The same tensor in another floating-point type, rounded to nearest. Bytes of the same type stay as they are. */
export function castEntry(entry: SafetensorsTensor, dtype: FileDType): SafetensorsTensor {
  if (dtype === entry.dtype) return entry
  const data = async (): Promise<Uint8Array> =>
    float32ToBytes(bytesToFloat32(await bytesOfEntry(entry), entry.dtype), dtype as ParameterFileDType)
  return { ...entry, dtype, data }
}

export async function bytesOfEntry({ data }: SafetensorsTensor): Promise<Uint8Array> {
  return typeof data === 'function' ? data() : data
}

export interface EntryProgress {
  /** Bytes fetched of the parameters to be written, and of how many. */
  readonly done: number
  readonly total: number
}

export interface SourceEntriesOptions {
  /** Type of all parameters. Default: each keeps its own. */
  readonly precision?: SavePrecision | undefined
  /** Called after each tensor. */
  readonly onProgress?: ((progress: EntryProgress) => void) | undefined
  /** Ends the writing before the next tensor. */
  readonly signal?: AbortSignal | undefined
}

/**
 * The parameters of a model in files. One tensor at a time is in memory, so long as the writer asks for one at a time.
 * @param change puts another tensor in place of one, before types are changed: of the same name and shape
 */
export function entriesOfSource(
  { config, parts }: Pick<ModelSource, 'config' | 'parts'>,
  { precision, onProgress, signal }: SourceEntriesOptions = {},
  change: (part: ModelPart, entry: SafetensorsTensor) => SafetensorsTensor = (_part, entry) => entry,
): ModelEntries {
  const lists = modelParts.map((part) =>
    parts[part].entries().map((entry) => {
      const changed = change(part, entry)
      return castEntry(changed, precision === undefined ? entry.dtype : precisionTypes[precision])
    }),
  )
  const total = lists.flat().reduce((sum, entry) => sum + entryBytes(entry), 0)
  let done = 0
  const watched = (entry: SafetensorsTensor): SafetensorsTensor => ({
    ...entry,
    data: async () => {
      signal?.throwIfAborted()
      const bytes = await bytesOfEntry(entry)
      done += bytes.byteLength
      onProgress?.({ done, total })
      return bytes
    },
  })
  const [unet, textEncoder, vae] = lists.map((list) => list.map(watched))
  return { config, parts: { unet: unet!, textEncoder: textEncoder!, vae: vae! } }
}
