import { createHash } from 'node:crypto'
import type { WritableFileSystem } from '../io/atomicWrite.ts'
import { LEGACY_HASH_BYTES, LEGACY_HASH_START } from '../io/fileHash.ts'
import {
  openSafetensors,
  type SafetensorsFile,
  type SafetensorsTensor,
  safetensorsData,
  writeSafetensors,
} from '../io/safetensors.ts'
import { buildSafetensorsHeader, canonicalOrder } from '../io/safetensorsHeader.ts'
import { bytesOf, float32ToBytes } from '../io/tensorBytes.ts'
import { ArgumentError, CheckpointError } from '../util/errors.ts'

/** A matrix or convolution weight in the file's layout: `[out, in]` or `[out, in, height, width]`, row-major. */
export interface KohyaWeight {
  readonly shape: readonly number[]
  readonly values: Float32Array
}

/** One LoRA module in a file. The change of its layer's weight is `alpha / rank · up · down`. */
export interface KohyaLoraModule {
  /** See {@link kohyaName}. */
  readonly name: string
  readonly alpha: number
  /** `[rank, in]` or `[rank, in, height, width]`. */
  readonly down: KohyaWeight
  /** `[out, rank]` or `[out, rank, 1, 1]`. */
  readonly up: KohyaWeight
}

/** Types a file can be saved in; the names are those of the option `save_precision`. */
export type SavePrecision = 'float' | 'fp16' | 'bf16'

/** The name of a layer's LoRA module: prefix and path joined, dots become underscores. */
export function kohyaName(prefix: 'lora_te' | 'lora_unet', dottedPath: string): string {
  return `${prefix}.${dottedPath}`.replaceAll('.', '_')
}

export interface WriteKohyaLoraOptions {
  /** Default: float32, with alpha as `integerAlpha` says. Otherwise all tensors are cast, alpha too. */
  readonly precision?: SavePrecision | undefined
  /** Without `precision`, alpha is stored as int64: what other tools do when the option was not given. Default: false. */
  readonly integerAlpha?: boolean
  /** The `ss_*` texts, from `loraMetadata` or `minimalLoraMetadata`. */
  readonly metadata: Readonly<Record<string, string>>
  /** See `atomicWrite`. */
  readonly fileSystem?: WritableFileSystem
}

/**
 * Writes LoRA modules as kohya's tools do: for each `<name>.lora_down.weight`, `<name>.lora_up.weight` and `<name>.alpha`,
 * the metadata given, and the two `sshs_*` hashes of the bytes. The write is atomic.
 *
 * @returns the size of the file in bytes
 * @throws ArgumentError when shapes do not fit together
 * @throws IoError when the file cannot be written; a previous file of that name stays
 */
export async function writeKohyaLora(
  path: string,
  modules: Iterable<KohyaLoraModule>,
  options: WriteKohyaLoraOptions,
): Promise<number> {
  const { metadata, fileSystem } = options
  const tensors = kohyaTensors(modules, options)
  const hashes = await kohyaHashes(tensors, metadata)
  return writeSafetensors(path, tensors, {
    metadata: { ...metadata, ...hashes },
    ...(fileSystem === undefined ? {} : { fileSystem }),
  })
}

const fileDTypes = { float: 'F32', fp16: 'F16', bf16: 'BF16' } as const satisfies Record<SavePrecision, string>

/** The tensors of the file, in no particular order. */
export function kohyaTensors(
  modules: Iterable<KohyaLoraModule>,
  options: Pick<WriteKohyaLoraOptions, 'precision' | 'integerAlpha'> = {},
): SafetensorsTensor[] {
  const { precision, integerAlpha = false } = options
  const dtype = fileDTypes[precision ?? 'float']
  const tensors: SafetensorsTensor[] = []
  for (const module of modules) {
    checkModule(module)
    const { name, down, up, alpha } = module
    tensors.push(
      { name: `${name}.lora_down.weight`, dtype, shape: down.shape, data: float32ToBytes(down.values, dtype) },
      { name: `${name}.lora_up.weight`, dtype, shape: up.shape, data: float32ToBytes(up.values, dtype) },
    )
    if (precision === undefined && integerAlpha) {
      if (!Number.isSafeInteger(alpha)) throw refuse(name, 'alpha', 'whole to be stored as an integer', String(alpha))
      tensors.push({ name: `${name}.alpha`, dtype: 'I64', shape: [], data: bytesOf(BigInt64Array.of(BigInt(alpha))) })
    } else {
      tensors.push({ name: `${name}.alpha`, dtype, shape: [], data: float32ToBytes(Float32Array.of(alpha), dtype) })
    }
  }
  return tensors
}

function checkModule({ name, alpha, down, up }: KohyaLoraModule): void {
  if (name === '' || name.includes('.')) throw refuse(name, 'name', 'not empty and without dots', JSON.stringify(name))
  if (!Number.isFinite(alpha)) throw refuse(name, 'alpha', 'a finite number', String(alpha))
  const rank = down.shape[0]
  if (up.shape.length !== down.shape.length || up.shape[1] !== rank) {
    const received = `down [${down.shape.join(', ')}] and up [${up.shape.join(', ')}]`
    throw refuse(name, 'up', 'of as many dimensions as down, its second as large as the first of down', received)
  }
}

function refuse(name: string, part: string, expected: string, received: string): ArgumentError {
  return new ArgumentError('writeKohyaLora', `${part} of "${name}"`, expected, received)
}

/**
 * `sshs_model_hash`: SHA-256 of the data part. `sshs_legacy_hash`: the short hash that the file would have if it carried
 * only the `ss_*` metadata; so it is not the short hash of the final file.
 */
export async function kohyaHashes(
  tensors: readonly SafetensorsTensor[],
  metadata: Readonly<Record<string, string>>,
): Promise<{ readonly sshs_model_hash: string; readonly sshs_legacy_hash: string }> {
  const ours = Object.fromEntries(Object.entries(metadata).filter(([key]) => key.startsWith('ss_')))
  const whole = createHash('sha256')
  const window = createHash('sha256')
  let position = 0
  const addToWindow = (bytes: Uint8Array): void => {
    const start = LEGACY_HASH_START - position
    window.update(bytes.subarray(Math.max(0, start), Math.max(0, start + LEGACY_HASH_BYTES)))
    position += bytes.byteLength
  }
  addToWindow(buildSafetensorsHeader(canonicalOrder(tensors), ours))
  for await (const bytes of safetensorsData(tensors)) {
    whole.update(bytes)
    addToWindow(bytes)
  }
  return { sshs_model_hash: whole.digest('hex'), sshs_legacy_hash: window.digest('hex').slice(0, 8) }
}

/** A LoRA file's content. */
export interface KohyaLora {
  readonly metadata: ReadonlyMap<string, string>
  /** By name, in the order of the file. */
  readonly modules: ReadonlyMap<string, KohyaLoraModule>
}

/**
 * Reads a LoRA file. A module without alpha gets its rank as alpha.
 *
 * @throws IoError when the file cannot be opened
 * @throws CheckpointError when it is damaged, or a module lacks one of its two weights
 */
export async function readKohyaLora(path: string): Promise<KohyaLora> {
  const file = await openSafetensors(path)
  try {
    const names = new Set(file.names.map((name) => name.split('.')[0]!))
    const modules = new Map<string, KohyaLoraModule>()
    for (const name of names) modules.set(name, await readModule(file, name))
    return { metadata: file.metadata, modules }
  } finally {
    await file.close()
  }
}

async function readModule(file: SafetensorsFile, name: string): Promise<KohyaLoraModule> {
  const weight = async (part: string): Promise<KohyaWeight> => {
    const key = `${name}.${part}.weight`
    return { shape: file.info(key).shape, values: await file.readFloat32(key) }
  }
  const down = await weight('lora_down')
  const up = await weight('lora_up')
  const rank = down.shape[0]
  if (rank === undefined || up.shape[1] !== rank) {
    const found = `lora_down [${down.shape.join(', ')}] and lora_up [${up.shape.join(', ')}]`
    throw new CheckpointError(file.path, `"${name}": expected lora_up with the rank of lora_down, found ${found}`)
  }
  const alpha = file.has(`${name}.alpha`) ? (await file.readFloat32(`${name}.alpha`))[0]! : rank
  return { name, alpha, down, up }
}
