import { createHash } from 'node:crypto'
import type { WritableFileSystem } from '../io/atomicWrite.ts'
import { LEGACY_HASH_BYTES, LEGACY_HASH_START } from '../io/fileHash.ts'
import { openTensorFile } from '../io/openTensorFile.ts'
import { type SafetensorsTensor, safetensorsData, writeSafetensors } from '../io/safetensors.ts'
import { buildSafetensorsHeader, canonicalOrder } from '../io/safetensorsHeader.ts'
import { bytesOf, float32ToBytes } from '../io/tensorBytes.ts'
import type { TensorFile } from '../io/tensorFile.ts'
import { writeTorchFile } from '../io/torchFileWriter.ts'
import { ArgumentError, CheckpointError } from '../util/errors.ts'
import { formatOf } from './format.ts'
import { kindOf, missingSuffixes, rankOf, sizesIn } from './moduleShapes.ts'

/** A matrix or convolution weight in the file's layout: `[out, in]` or `[out, in, height, width]`, row-major. */
export interface KohyaWeight {
  readonly shape: readonly number[]
  readonly values: Float32Array
}

/** One module of a network in a file: LoRA, LoHa, LoKr, or of a kind of one's own. */
export interface KohyaLoraModule {
  /** See {@link kohyaName}. */
  readonly name: string
  /** What the change of the layer's weight is multiplied by, times the rank. Null: the file has none. */
  readonly alpha: number | null
  /** Without a precision, alpha is stored as int64. Default: what the writer's options say. */
  readonly integerAlpha?: boolean
  /** By the ends of their keys: `lora_down.weight` [rank, in] or [rank, in, h, w], `lora_up.weight` [out, rank] or [out, rank, 1, 1]. */
  readonly weights: Readonly<Record<string, KohyaWeight>>
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
  /** `integerAlpha` of modules that do not say: what other tools do when the option was not given. Default: false. */
  readonly integerAlpha?: boolean
  /** The `ss_*` texts, from `loraMetadata` or `minimalLoraMetadata`. PyTorch's container has no place for them. */
  readonly metadata: Readonly<Record<string, string>>
  /** See `atomicWrite`. */
  readonly fileSystem?: WritableFileSystem
}

/**
 * Writes modules as kohya's tools do: for each `<name>.lora_down.weight`, `<name>.lora_up.weight` and `<name>.alpha`, or the tensors of
 * its kind, the metadata given, and the two `sshs_*` hashes of the bytes; in PyTorch's container where the extension asks for it, as a
 * plain dictionary of the tensors. The write is atomic.
 *
 * @param path `.safetensors`, or `.ckpt`, `.pt`, `.pth`, `.bin`
 * @returns the size of the file in bytes
 * @throws ArgumentError when shapes do not fit together, or the extension tells no format
 * @throws IoError when the file cannot be written; a previous file of that name stays
 */
export async function writeKohyaLora(
  path: string,
  modules: Iterable<KohyaLoraModule>,
  options: WriteKohyaLoraOptions,
): Promise<number> {
  const { metadata, fileSystem } = options
  const format = formatOf('writeKohyaLora', path)
  const tensors = kohyaTensors(modules, options)
  const disk = fileSystem === undefined ? {} : { fileSystem }
  if (format === 'pt') return writeTorchFile(path, tensors, disk)
  const hashes = await kohyaHashes(tensors, metadata)
  return writeSafetensors(path, tensors, { metadata: { ...metadata, ...hashes }, ...disk })
}

const fileDTypes = { float: 'F32', fp16: 'F16', bf16: 'BF16' } as const satisfies Record<SavePrecision, string>

/** The tensors of the file, in no particular order. */
export function kohyaTensors(
  modules: Iterable<KohyaLoraModule>,
  options: Pick<WriteKohyaLoraOptions, 'precision' | 'integerAlpha'> = {},
): SafetensorsTensor[] {
  const { precision } = options
  const dtype = fileDTypes[precision ?? 'float']
  const tensors: SafetensorsTensor[] = []
  for (const module of modules) {
    checkModule(module)
    const { name, weights, alpha, integerAlpha = options.integerAlpha ?? false } = module
    for (const [suffix, { shape, values }] of Object.entries(weights))
      tensors.push({ name: `${name}.${suffix}`, dtype, shape, data: float32ToBytes(values, dtype) })
    if (alpha === null) continue
    if (precision === undefined && integerAlpha) {
      if (!Number.isSafeInteger(alpha)) throw refuse(name, 'alpha', 'whole to be stored as an integer', String(alpha))
      tensors.push({ name: `${name}.alpha`, dtype: 'I64', shape: [], data: bytesOf(BigInt64Array.of(BigInt(alpha))) })
    } else {
      tensors.push({ name: `${name}.alpha`, dtype, shape: [], data: float32ToBytes(Float32Array.of(alpha), dtype) })
    }
  }
  return tensors
}

function checkModule({ name, alpha, weights }: KohyaLoraModule): void {
  if (name === '' || name.includes('.')) throw refuse(name, 'name', 'not empty and without dots', JSON.stringify(name))
  if (alpha !== null && !Number.isFinite(alpha)) throw refuse(name, 'alpha', 'a finite number', String(alpha))
  if ('alpha' in weights) throw refuse(name, 'weights', 'without "alpha", which has a place of its own', 'one')
  const { 'lora_down.weight': down, 'lora_up.weight': up } = weights
  if (down && up && (up.shape.length !== down.shape.length || up.shape[1] !== down.shape[0])) {
    const received = `lora_down [${down.shape.join(', ')}] and lora_up [${up.shape.join(', ')}]`
    throw refuse(
      name,
      'lora_up',
      'of as many dimensions as lora_down, its second as large as the first of that',
      received,
    )
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
 * Reads a file of a network, safetensors or PyTorch, with keys as kohya's tools write them: what stands before the first dot names the
 * module. A LoRA, LoHa or LoKr module without alpha gets its rank as alpha.
 *
 * @throws IoError when the file cannot be opened
 * @throws CheckpointError when it is damaged, or a module lacks a tensor of its kind
 */
export async function readKohyaLora(path: string): Promise<KohyaLora> {
  const file = await openTensorFile(path)
  try {
    const names = new Map<string, string[]>()
    for (const key of file.names) {
      const [name, ...suffix] = key.split('.')
      names.set(name!, [...(names.get(name!) ?? []), suffix.join('.')])
    }
    const modules = new Map<string, KohyaLoraModule>()
    for (const [name, suffixes] of names) modules.set(name, await readModule(file, name, suffixes))
    return { metadata: file.metadata, modules }
  } finally {
    await file.close()
  }
}

async function readModule(file: TensorFile, name: string, suffixes: readonly string[]): Promise<KohyaLoraModule> {
  const weights: Record<string, KohyaWeight> = {}
  for (const suffix of suffixes) {
    const key = `${name}.${suffix}`
    if (suffix !== 'alpha') weights[suffix] = { shape: file.info(key).shape, values: await file.readFloat32(key) }
  }
  const shapes = Object.fromEntries(Object.entries(weights).map(([suffix, { shape }]) => [suffix, shape]))
  const kind = kindOf(Object.keys(shapes))
  if (kind !== null) {
    const [lacking] = missingSuffixes(kind, new Set(suffixes))
    if (lacking !== undefined)
      throw new CheckpointError(file.path, `"${name}": expected ${lacking}, found ${suffixes.join(', ')}`)
  }
  const [down, up] = [shapes['lora_down.weight'], shapes['lora_up.weight']]
  if (down && up && up[1] !== down[0]) {
    const found = `lora_down [${down.join(', ')}] and lora_up [${up.join(', ')}]`
    throw new CheckpointError(file.path, `"${name}": expected lora_up with the rank of lora_down, found ${found}`)
  }
  const stored = suffixes.includes('alpha') ? (await file.readFloat32(`${name}.alpha`))[0]! : null
  return { name, alpha: stored ?? (kind === null ? null : rankOf(sizesIn(kind, shapes))), weights }
}
