/** Models to one file in the layout of the original latent-diffusion code. */
import { type SafetensorsTensor, writeSafetensors } from '../io/safetensors.ts'
import { bytesOf, type FileDType, type FloatFileDType, float32ToBytes } from '../io/tensorBytes.ts'
import type { TensorFile } from '../io/tensorFile.ts'
import { TorchFile } from '../io/torchFile.ts'
import { writeTorchFile } from '../io/torchFileWriter.ts'
import type { StableDiffusionConfig } from '../models/stableDiffusion/config.ts'
import { parameterShapes } from '../models/stableDiffusion/parameterShapes.ts'
import type { ModelPart } from '../models/stableDiffusion/stableDiffusion.ts'
import { formatShape } from '../tensor/shape.ts'
import { CheckpointError } from '../util/errors.ts'
import { detectCheckpoint } from './detect.ts'
import type { KeyedFile } from './keyedFile.ts'
import { type LdmSlot, ldmKeys } from './keys/ldmKeys.ts'
import { positionIds, textEncoderPrefixes } from './keys/textEncoder.ts'
import { sizesForMetadata, sizesMetadataKey } from './ldmConfig.ts'
import { ldmShape } from './ldmShape.ts'
import { bytesOfEntry, castEntry, type ModelEntries } from './modelEntries.ts'
import { modelParts } from './modelSource.ts'
import { sameMatrix } from './partPlan.ts'

export interface WriteLdmOptions {
  /** The checkpoint that the model came from: everything in it but the weights given is kept. Default: a fresh file. */
  readonly source?: KeyedFile | null | undefined
  /** Default: by the extension of the path, `.ckpt` or else safetensors. */
  readonly format?: 'safetensors' | 'ckpt' | undefined
  /** Parts that are written; the others stay as the source has them. Default: all. */
  readonly parts?: readonly ModelPart[] | undefined
  /** More texts for the metadata of a safetensors file. */
  readonly metadata?: Readonly<Record<string, string>> | undefined
  /** Recorded in `.ckpt` files, added to what the source records. Default 0. */
  readonly epoch?: number | undefined
  /** Optimizer steps; as `epoch`. */
  readonly globalStep?: number | undefined
}

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
export async function writeLdmCheckpoint(
  path: string,
  entries: ModelEntries,
  options: WriteLdmOptions = {},
): Promise<number> {
  const { source = null, format = path.endsWith('.ckpt') ? 'ckpt' : 'safetensors', parts = modelParts } = options
  if (source !== null) expectSameModel(source, entries.config)
  const tensors = collect(entries, source, parts)
  if (format === 'safetensors')
    return writeSafetensors(path, tensors, { metadata: metadataOf(entries.config, source, options.metadata) })
  const { epoch = 0, globalStep = 0 } = options
  const before = countersOf(source?.file ?? null)
  const outer = { epoch: before.epoch + epoch, global_step: before.globalStep + globalStep }
  return writeTorchFile(path, tensors, { under: 'state_dict', outer })
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
function collect(entries: ModelEntries, source: KeyedFile | null, parts: readonly ModelPart[]): SafetensorsTensor[] {
  const written = new Map<string, SafetensorsTensor>()
  for (const part of parts) for (const tensor of partTensors(entries, part, source)) written.set(tensor.name, tensor)
  if (source === null) return [...written.values(), ...freshTensors(entries.config, written)]
  const tensors = source.names.map((key): SafetensorsTensor => {
    const own = written.get(key)
    written.delete(key)
    const { dtype, shape } = source.info(key)
    return own ?? { name: key, dtype, shape, data: () => source.file.read(source.nameInFile(key)) }
  })
  return [...tensors, ...written.values()]
}

/** One part's tensors, three projections of OpenCLIP in one. */
function partTensors({ config, parts }: ModelEntries, part: ModelPart, source: KeyedFile | null): SafetensorsTensor[] {
  const keys = ldmKeys(part, config)
  const layouts = new Map(parameterShapes(part, config).map((parameter) => [parameter.name, parameter]))
  const groups = new Map<string, { readonly slot: LdmSlot; readonly thirds: SafetensorsTensor[] }>()
  for (const entry of parts[part]) {
    const slot = keys.toLdm(entry.name)
    if (slot === undefined) throw new CheckpointError(source?.path ?? config.name, `no key for "${entry.name}"`)
    const group = groups.get(slot.key) ?? { slot, thirds: [] }
    groups.set(slot.key, group)
    group.thirds[slot.third ?? 0] = entry
  }
  return [...groups.values()].map(({ slot, thirds }) => {
    const { name, dtype } = thirds[0]!
    const expected = ldmShape(layouts.get(name)!, slot)
    const found = source?.has(slot.key) ? source.info(slot.key).shape : expected
    if (!sameMatrix(found, expected))
      throw new CheckpointError(
        source!.path,
        `tensor "${slot.key}" has shape ${formatShape(found)}; the model to save has ${formatShape(expected)}`,
      )
    return { name: slot.key, dtype, shape: found, data: () => joined(thirds.map((entry) => castEntry(entry, dtype))) }
  })
}

async function joined(entries: readonly SafetensorsTensor[]): Promise<Uint8Array> {
  if (entries.length === 1) return bytesOfEntry(entries[0]!)
  const pieces: Uint8Array[] = []
  for (const entry of entries) pieces.push(await bytesOfEntry(entry))
  return Buffer.concat(pieces)
}

/** What readers of a version expect beside the weights. */
function freshTensors(
  { version, textEncoder }: StableDiffusionConfig,
  written: ReadonlyMap<string, SafetensorsTensor>,
): SafetensorsTensor[] {
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
  return float32ToBytes(new Float32Array(count).fill(1), dtype as FloatFileDType)
}
