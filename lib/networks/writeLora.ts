import type { WritableFileSystem } from '../io/atomicWrite.ts'
import { type SafetensorsTensor, writeSafetensors } from '../io/safetensors.ts'
import { float32ToBytes } from '../io/tensorBytes.ts'
import { writeTorchFile } from '../io/torchFileWriter.ts'
import { ArgumentError } from '../util/errors.ts'
import { formatOf, type TensorFormat } from './format.ts'
import { kohyaHashes, type SavePrecision } from './kohyaLora.ts'
import type { LoraFileModule, LoraMatrix } from './loraFile.ts'
import { ADAPTER_METADATA_KEY } from './loraKeys/alphas.ts'
import { type LoraConfig, type WritableLoraStyle, writtenName } from './loraKeys/names.ts'

export interface WriteLoraOptions {
  /** Of the model that the modules belong to: names of layers depend on it. */
  readonly config: LoraConfig
  /**
   * How keys are spelled. `diffusers` files have no place for alpha that all readers look at, so there `up` is multiplied by
   * alpha / rank. Default: `kohya`.
   */
  readonly style?: WritableLoraStyle
  /** `pt` is PyTorch's container, which has no metadata. Default: by the extension, `.safetensors`, `.ckpt`, `.pt` or `.bin`. */
  readonly format?: TensorFormat
  /** Type of all tensors. Default: `float`. */
  readonly precision?: SavePrecision
  /** Texts of the source, for instance `LoraFile.metadata`. Hashes of its bytes are left out; `kohya` files get new ones. */
  readonly metadata?: ReadonlyMap<string, string> | Readonly<Record<string, string>>
  /** See `atomicWrite`. */
  readonly fileSystem?: WritableFileSystem
}

const dtypes = { float: 'F32', fp16: 'F16', bf16: 'BF16' } as const satisfies Record<SavePrecision, string>

/** What diffusers calls the two weights of a LoRA. */
const diffusersSuffixes: Readonly<Record<string, string>> = {
  'lora_down.weight': 'lora_A.weight',
  'lora_up.weight': 'lora_B.weight',
}

/**
 * Writes LoRA modules in the keys of one style; with `readLora` it converts between styles. One weight at
 * a time is in memory. The write is atomic.
 *
 * @returns the size of the file in bytes
 * @throws ArgumentError when the extension tells no format and none is given; for LoHa and LoKr in the style `diffusers`, which has none
 * @throws IoError when the file cannot be written; a previous file of that name stays
 */
export async function writeLora(
  path: string,
  modules: Iterable<LoraFileModule>,
  options: WriteLoraOptions,
): Promise<number> {
  const { style = 'kohya', format = formatOf('writeLora', path), fileSystem } = options
  const tensors = loraTensors(modules, options)
  if (format === 'pt') return writeTorchFile(path, tensors, fileSystem === undefined ? {} : { fileSystem })
  const kept = texts(options.metadata)
  const metadata = style === 'kohya' ? { ...kept, ...(await kohyaHashes(tensors, kept)) } : { format: 'pt', ...kept }
  return writeSafetensors(path, tensors, { metadata, ...(fileSystem === undefined ? {} : { fileSystem }) })
}

/** The tensors of the file, in the order of the modules; weights are read when their turn comes. */
export function loraTensors(
  modules: Iterable<LoraFileModule>,
  { config, style = 'kohya', precision = 'float' }: Pick<WriteLoraOptions, 'config' | 'style' | 'precision'>,
): SafetensorsTensor[] {
  const dtype = dtypes[precision]
  return [...modules].flatMap(({ kind, layer, rank, alpha, weights }): SafetensorsTensor[] => {
    const name = writtenName(layer, style, config)
    const weight = (suffix: string, matrix: LoraMatrix, factor = 1): SafetensorsTensor => ({
      name: `${name}.${suffix}`,
      dtype,
      shape: matrix.shape,
      data: async () => {
        const values = await matrix.read()
        return float32ToBytes(factor === 1 ? values : values.map((value) => value * factor), dtype)
      },
    })
    if (style === 'diffusers') {
      if (kind !== 'lora' || rank === null)
        throw new ArgumentError(
          'writeLora',
          'style',
          'kohya or comfyui: diffusers has no keys for LoHa and LoKr',
          style,
        )
      return Object.entries(weights).map(([suffix, matrix]) =>
        weight(diffusersSuffixes[suffix]!, matrix, suffix === 'lora_up.weight' ? alpha / rank : 1),
      )
    }
    const scalar = float32ToBytes(Float32Array.of(alpha), dtype)
    return [
      ...Object.entries(weights).map(([suffix, matrix]) => weight(suffix, matrix)),
      { name: `${name}.alpha`, dtype, shape: [], data: scalar },
    ]
  })
}

/** What of the source's texts is true of the new file. */
function texts(metadata: WriteLoraOptions['metadata'] = {}): Record<string, string> {
  const entries = metadata instanceof Map ? [...metadata] : Object.entries(metadata)
  const stale = ['sshs_model_hash', 'sshs_legacy_hash', 'format', ADAPTER_METADATA_KEY]
  return Object.fromEntries(entries.filter(([key]) => !stale.includes(key)))
}
