/** Stable Diffusion to one file in the layout of the original latent-diffusion code. */
import { openTensorFile } from '../io/openTensorFile.ts'
import { type SafetensorsTensor, writeSafetensors } from '../io/safetensors.ts'
import { bytesOf, type FileDType, fileDTypeBytes } from '../io/tensorBytes.ts'
import type { TensorFile } from '../io/tensorFile.ts'
import { TorchFile } from '../io/torchFile.ts'
import { writeTorchFile } from '../io/torchFileWriter.ts'
import type { StableDiffusionConfig } from '../models/stableDiffusion/config.ts'
import type { ModelPart, StableDiffusion } from '../models/stableDiffusion/stableDiffusion.ts'
import type { SavePrecision } from '../networks/kohyaLora.ts'
import type { ParameterRecord } from '../nn/weights.ts'
import { cast } from '../ops/cast.ts'
import type { FloatDType } from '../tensor/dtype.ts'
import { scope } from '../tensor/scope.ts'
import { formatShape } from '../tensor/shape.ts'
import { ArgumentError, CheckpointError } from '../util/errors.ts'
import { detectCheckpoint } from './detect.ts'
import { KeyedFile } from './keyedFile.ts'
import { type LdmSlot, ldmKeys } from './keys/ldmKeys.ts'
import { positionIds, textEncoderPrefixes } from './keys/textEncoder.ts'
import { sizesForMetadata, sizesMetadataKey } from './ldmConfig.ts'
import { ldmShape } from './ldmShape.ts'
import { toFileLayout } from './parameterFile.ts'
import { sameMatrix } from './partPlan.ts'

export interface SaveLdmOptions {
  /** The checkpoint that the models came from: everything in it but their weights is kept. Default: a fresh file. */
  readonly source?: string | undefined
  /** Default: by the extension of the path, `.ckpt` or else safetensors. */
  readonly format?: 'safetensors' | 'ckpt' | undefined
  /** Type the written parts are cast to. Default: the type that they have in memory. */
  readonly precision?: SavePrecision | undefined
  /** Parts that are written; the others stay as the source has them. Default: all. */
  readonly parts?: readonly ModelPart[] | undefined
  /** More texts for the metadata of a safetensors file. */
  readonly metadata?: Readonly<Record<string, string>> | undefined
  /** Recorded in `.ckpt` files, added to what the source records. Default 0. */
  readonly epoch?: number | undefined
  /** Optimizer steps; as `epoch`. */
  readonly globalStep?: number | undefined
}

const allParts = ['unet', 'textEncoder', 'vae'] as const satisfies readonly ModelPart[]
const fileTypes = { float32: 'F32', float16: 'F16', bfloat16: 'BF16' } as const satisfies Record<FloatDType, FileDType>
const precisionTypes = { float: 'float32', fp16: 'float16', bf16: 'bfloat16' } as const satisfies Record<
  SavePrecision,
  FloatDType
>

/**
 * Writes a model as one file, atomically and with one tensor in memory at a time.
 *
 * With a source, its other tensors (averages, schedules, the unused layer of 2.x, places of captions) are copied byte for byte,
 * and its metadata except hashes. Without one, a 2.x file gets what its readers expect and the model lacks: the last layer as a
 * copy of the one before, a text projection of ones, a logit scale of 1. Metadata records what keys do not tell: the prediction
 * type of 2.x and of velocity models, and sizes that do not follow the published models' rule.
 *
 * @returns the size of the file in bytes
 * @throws CheckpointError when the source is another model
 * @throws IoError when a file cannot be read or written; a previous file of that name stays
 */
export async function saveLdmCheckpoint(
  path: string,
  models: StableDiffusion,
  options: SaveLdmOptions = {},
): Promise<number> {
  const { source: sourcePath, format = path.endsWith('.ckpt') ? 'ckpt' : 'safetensors', parts = allParts } = options
  if (sourcePath === undefined && allParts.some((part) => !parts.includes(part)))
    throw new ArgumentError('saveLdmCheckpoint', 'parts', 'all of them without a source', parts.join(', '))
  const file = sourcePath === undefined ? null : await openTensorFile(sourcePath)
  try {
    const source = file === null ? null : new KeyedFile(file)
    if (source !== null) expectSameModel(source, models.config)
    const tensors = collect(models, source, parts, options.precision)
    if (format === 'safetensors')
      return await writeSafetensors(path, tensors, { metadata: metadataOf(models.config, source, options.metadata) })
    const { epoch = 0, globalStep = 0 } = options
    const before = countersOf(file)
    const outer = { epoch: before.epoch + epoch, global_step: before.globalStep + globalStep }
    return await writeTorchFile(path, tensors, { under: 'state_dict', outer })
  } finally {
    await file?.close()
  }
}

function expectSameModel(source: KeyedFile, config: StableDiffusionConfig): void {
  const { kind, version, description } = detectCheckpoint(source.file)
  if (kind !== 'stableDiffusion' || (version !== null && version !== config.version))
    throw new CheckpointError(
      source.path,
      `expected the Stable Diffusion ${config.version}.x checkpoint that the model came from, found ${description}`,
    )
}

/** The numbers that a PyTorch checkpoint records beside its tensors. */
function countersOf(file: TensorFile | null): { readonly epoch: number; readonly globalStep: number } {
  const count = (name: string): number => {
    const value = file instanceof TorchFile ? file.outer.get(name) : undefined
    return typeof value === 'number' || typeof value === 'bigint' ? Number(value) : 0
  }
  return { epoch: count('epoch'), globalStep: count('global_step') }
}

function metadataOf(
  config: StableDiffusionConfig,
  source: KeyedFile | null,
  more: Readonly<Record<string, string>> = {},
): Record<string, string> {
  // Hashes are of the file they were written into.
  const kept = [...(source?.metadata ?? [])].filter(([name]) => !/hash/.test(name) && name !== sizesMetadataKey)
  const sizes = sizesForMetadata(config)
  const stated = config.version === 2 || config.predictionType === 'v_prediction' || source?.metadata.has(predictionKey)
  return {
    format: 'pt',
    ...Object.fromEntries(kept),
    ...(stated ? { [predictionKey]: config.predictionType === 'epsilon' ? 'epsilon' : 'v' } : {}),
    ...(sizes === undefined ? {} : { [sizesMetadataKey]: sizes }),
    ...more,
  }
}

const predictionKey = 'modelspec.prediction_type'

/** Every tensor of the new file: the source's in its order, with the model's in their places, then what the source lacks. */
function collect(
  models: StableDiffusion,
  source: KeyedFile | null,
  parts: readonly ModelPart[],
  precision: SavePrecision | undefined,
): SafetensorsTensor[] {
  const written = new Map<string, SafetensorsTensor>()
  for (const part of parts)
    for (const tensor of partTensors(models, part, source, precision)) written.set(tensor.name, tensor)
  if (source === null) return [...written.values(), ...freshTensors(models, written)]
  const tensors = source.names.map((key): SafetensorsTensor => {
    const own = written.get(key)
    written.delete(key)
    const { dtype, shape } = source.info(key)
    return own ?? { name: key, dtype, shape, data: () => source.file.read(source.nameInFile(key)) }
  })
  return [...tensors, ...written.values()]
}

/** One part's tensors, three projections of OpenCLIP in one. */
function partTensors(
  models: StableDiffusion,
  part: ModelPart,
  source: KeyedFile | null,
  precision: SavePrecision | undefined,
): SafetensorsTensor[] {
  const keys = ldmKeys(part, models.config)
  const groups = new Map<string, { readonly slot: LdmSlot; readonly records: ParameterRecord[] }>()
  for (const record of models[part].registry.parameters.values()) {
    const slot = keys.toLdm(record.name)
    if (slot === undefined) throw new CheckpointError(source?.path ?? models.config.name, `no key for "${record.name}"`)
    const group = groups.get(slot.key) ?? { slot, records: [] }
    groups.set(slot.key, group)
    group.records[slot.third ?? 0] = record
  }
  return [...groups.values()].map(({ slot, records }) => {
    const expected = ldmShape(records[0]!, slot)
    const found = source?.has(slot.key) ? source.info(slot.key).shape : expected
    if (!sameMatrix(found, expected))
      throw new CheckpointError(
        source!.path,
        `tensor "${slot.key}" has shape ${formatShape(found)}; the model to save has ${formatShape(expected)}`,
      )
    const dtype = precision === undefined ? (records[0]!.tensor.dtype as FloatDType) : precisionTypes[precision]
    return { name: slot.key, dtype: fileTypes[dtype], shape: found, data: () => bytesOfRecords(records, dtype) }
  })
}

async function bytesOfRecords(records: readonly ParameterRecord[], dtype: FloatDType): Promise<Uint8Array> {
  const pieces: Uint8Array[] = []
  for (const record of records) {
    const packed = scope(() => cast(toFileLayout(record.tensor, record), { dtype }))
    try {
      pieces.push(bytesOf(await packed.read()))
    } finally {
      if (packed !== record.tensor) packed.dispose()
    }
  }
  return pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces)
}

/** What readers of a version expect beside the weights. */
function freshTensors(models: StableDiffusion, written: ReadonlyMap<string, SafetensorsTensor>): SafetensorsTensor[] {
  const { version, textEncoder } = models.config
  const prefix = textEncoderPrefixes[version]
  if (version === 1) {
    const places = BigInt64Array.from({ length: textEncoder.positions }, (_, i) => BigInt(i))
    return [{ name: prefix + positionIds, dtype: 'I64', shape: [1, places.length], data: bytesOf(places) }]
  }
  const layer = (i: number): string => `${prefix}transformer.resblocks.${i}.`
  const [last, unused] = [layer(textEncoder.layers - 1), layer(textEncoder.layers)]
  const copies = [...written.values()]
    .filter(({ name }) => name.startsWith(last))
    .map((tensor) => ({ ...tensor, name: unused + tensor.name.slice(last.length) }))
  const { dtype } = written.get(`${prefix}positional_embedding`)!
  const width = textEncoder.hiddenSize
  return [
    ...copies,
    { name: `${prefix}text_projection`, dtype, shape: [width, width], data: async () => ones(width * width, dtype) },
    { name: `${prefix}logit_scale`, dtype: 'I64', shape: [], data: bytesOf(BigInt64Array.of(1n)) },
  ]
}

function ones(count: number, dtype: FileDType): Uint8Array {
  if (dtype === 'F32') return bytesOf(new Float32Array(count).fill(1))
  const bits = new Uint16Array((count * fileDTypeBytes[dtype]) / 2)
  return bytesOf(bits.fill(dtype === 'F16' ? 0x3c00 : 0x3f80))
}
