/** Stable Diffusion from and to folders in the layout of the diffusers library. */
import { mkdir, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { atomicFolder } from '../io/atomicFolder.ts'
import { atomicWrite } from '../io/atomicWrite.ts'
import { writeSafetensors } from '../io/safetensors.ts'
import type { TensorFile } from '../io/tensorFile.ts'
import { writeTorchFile } from '../io/torchFileWriter.ts'
import type { PredictionType } from '../models/stableDiffusion/config.ts'
import { type ModelPart, StableDiffusion } from '../models/stableDiffusion/stableDiffusion.ts'
import type { SavePrecision } from '../networks/kohyaLora.ts'
import { tensor } from '../tensor/create.ts'
import type { FloatDType } from '../tensor/dtype.ts'
import { ArgumentError, CheckpointError } from '../util/errors.ts'
import { didYouMean } from '../util/nearest.ts'
import { readDiffusersConfig } from './diffusersConfig.ts'
import { diffusersConfigFiles } from './diffusersConfigText.ts'
import { oldVaeNames } from './keys/vae.ts'
import { fileEntry, type ParameterFileDType, type ReadAhead, readAhead, weightsFromFile } from './parameterFile.ts'
import {
  findPartWeights,
  listVariants,
  openPartWeights,
  type PartWeights,
  partFolders,
  type WeightFormat,
} from './partWeights.ts'
import { makeTokenizerFiles, readTokenizerFiles } from './tokenizerFiles.ts'

const modelParts = ['unet', 'textEncoder', 'vae'] as const satisfies readonly ModelPart[]

/** Other names that a parameter may have in the files of a part. */
const aliases: Readonly<Record<ModelPart, (name: string) => readonly string[]>> = {
  unet: () => [],
  // transformers 5 writes the text encoder without the outer module's name.
  textEncoder: (name) => [name.replace(/^text_model\./, '')],
  vae: oldVaeNames,
}

export interface LoadOptions {
  /** Type each part is stored and computed in. Default float32. */
  readonly dtypes?: Readonly<Partial<Record<ModelPart, FloatDType>>>
  /** `'fp16'`: take `*.fp16.safetensors` where a part has it. Default: plain files, or the only variant there is. */
  readonly variant?: string | undefined
  /** What the U-Net predicts, for a folder without a scheduler. See {@link readDiffusersConfig}. */
  readonly predictionType?: PredictionType | undefined
}

/**
 * The weight files of each part of a diffusers folder.
 *
 * @throws IoError when a part has none; CheckpointError when no part has the variant asked for
 */
export async function findWeights(
  folder: string,
  { variant }: Pick<LoadOptions, 'variant'> = {},
): Promise<Readonly<Record<ModelPart, PartWeights>>> {
  if (variant !== undefined) {
    const variants = await listVariants(folder)
    if (!variants.includes(variant))
      throw new CheckpointError(
        folder,
        `expected weights in the variant "${variant}", found ${variants.length === 0 ? 'plain ones only' : variants.join(', ')}.${didYouMean(variant, variants)}`,
      )
  }
  const [unet, textEncoder, vae] = await Promise.all(
    modelParts.map((part) => findPartWeights(folder, part, { variant })),
  )
  return { unet: unet!, textEncoder: textEncoder!, vae: vae! }
}

/**
 * Loads Stable Diffusion from a diffusers folder: `unet/`, `text_encoder/`, `vae/`, each with a configuration and weights in
 * `.safetensors` or `.bin` files, in one or in shards; `scheduler/` and `tokenizer/` are kept for saving
 * (`models.config.origin`). Files may be symbolic links, as in the cache of the hub's library.
 *
 * @throws IoError for a missing file; CheckpointError for a damaged one, a missing tensor or one of another shape, settings
 *   that are not computed here, or a model of another family
 */
export async function loadDiffusersFolder(folder: string, options: LoadOptions = {}): Promise<StableDiffusion> {
  const { dtypes = {}, variant, predictionType } = options
  const found = await stat(folder).catch(() => null)
  if (!found?.isDirectory())
    throw new CheckpointError(
      folder,
      found
        ? 'is a file; expected a folder in the diffusers layout (unet/, text_encoder/, vae/, scheduler/). Use loadStableDiffusion for checkpoint files'
        : 'no such folder; expected a model in the diffusers layout (unet/, text_encoder/, vae/, scheduler/)',
    )
  const config = await readDiffusersConfig(folder, { predictionType })
  const weights = await findWeights(folder, { variant })
  const files = new Map<ModelPart, TensorFile>()
  try {
    const ahead = new Map<ModelPart, ReadAhead>()
    for (const part of modelParts) {
      const file = await openPartWeights(weights[part])
      files.set(part, file)
      ahead.set(part, await readAhead(file))
    }
    const source = (part: ModelPart) => weightsFromFile(files.get(part)!, aliases[part], ahead.get(part))
    const models = new StableDiffusion(config, source, dtypes)
    const fence = tensor([0], [1])
    try {
      for (const part of ['unet', 'vae'] as const) expectAllUsed(files.get(part)!, models, part)
      // Failures of the reads show at the next wait; make them show here.
      await fence.read()
      return models
    } catch (error) {
      models.dispose()
      throw error
    } finally {
      fence.dispose()
    }
  } finally {
    for (const file of files.values()) await file.close()
  }
}

/** Refuses weights that no layer takes: they belong to a network that computes something else. */
function expectAllUsed(file: TensorFile, models: StableDiffusion, part: ModelPart): void {
  const names = [...models[part].registry.parameters.keys()]
  const used = new Set(names.flatMap((name) => [name, ...aliases[part](name)]))
  const unused = file.names.filter((name) => !used.has(name))
  if (unused.length === 0) return
  const listed = unused.slice(0, 5).join(', ') + (unused.length > 5 ? ` and ${unused.length - 5} more` : '')
  throw new CheckpointError(
    file.path,
    `expected only the weights that the configuration describes, found also ${listed}`,
  )
}

export interface SaveFolderOptions {
  /** Default `'safetensors'`. */
  readonly format?: WeightFormat | undefined
  /** Type of all weights in the files. Default: each part in the type it has in memory. */
  readonly precision?: SavePrecision | undefined
  /** Replaces the scheduler's configuration. Default: the source folder's, or DDIM with the schedule of training. */
  readonly schedulerConfig?: Readonly<Record<string, unknown>> | undefined
  /** A folder whose tokenizer files are copied. Default: the source folder's, or CLIP's made from the shipped vocabulary. */
  readonly tokenizerFolder?: string | undefined
}

const fileDTypes = { float: 'F32', fp16: 'F16', bf16: 'BF16' } as const satisfies Record<
  SavePrecision,
  ParameterFileDType
>
const memoryDTypes = { float32: 'F32', float16: 'F16', bfloat16: 'BF16' } as const satisfies Record<
  FloatDType,
  ParameterFileDType
>
const configDTypes = { F32: 'float32', F16: 'float16', BF16: 'bfloat16' } as const

/**
 * Writes models as a complete diffusers folder: weights, configurations, scheduler, tokenizer. What the model's source
 * folder had beside the weights is kept. One tensor is in memory at a time.
 *
 * The folder appears whole or not at all, see {@link atomicFolder}: a previous model of that name is replaced, with all its
 * weight files; a folder that is neither empty nor a model is refused.
 *
 * @throws ArgumentError for an unknown format or precision; IoError when something cannot be written: nothing has changed then
 */
export async function saveDiffusersFolder(
  folder: string,
  models: StableDiffusion,
  options: SaveFolderOptions = {},
): Promise<void> {
  const { format = 'safetensors', precision, schedulerConfig, tokenizerFolder } = options
  if (format !== 'safetensors' && format !== 'bin')
    throw new ArgumentError('saveDiffusersFolder', 'format', "'safetensors' or 'bin'", String(format))
  if (precision !== undefined && !Object.hasOwn(fileDTypes, precision))
    throw new ArgumentError('saveDiffusersFolder', 'precision', "'float', 'fp16' or 'bf16'", String(precision))
  const { origin, version } = models.config
  const dtypeOf = (part: ModelPart): ParameterFileDType =>
    precision === undefined ? memoryDTypes[models[part].registry.dtype] : fileDTypes[precision]
  const kept = tokenizerFolder === undefined ? origin?.tokenizer : await readTokenizerFiles(tokenizerFolder)
  if (tokenizerFolder !== undefined && kept!.size === 0)
    throw new ArgumentError('saveDiffusersFolder', 'tokenizerFolder', 'a folder with tokenizer files', tokenizerFolder)
  const tokenizer = kept !== undefined && kept.size > 0 ? kept : await makeTokenizerFiles(version)
  const texts = diffusersConfigFiles(models.config, {
    textDType: configDTypes[dtypeOf('textEncoder')],
    schedulerConfig,
  })
  await atomicFolder(
    folder,
    async (temporary) => {
      for (const part of modelParts) await writeWeights(temporary, models, part, format, dtypeOf(part))
      for (const [name, text] of Object.entries(texts)) await writeFile(join(temporary, name), text)
      for (const [name, bytes] of tokenizer) await writeFile(join(temporary, 'tokenizer', name), bytes)
    },
    { marker: 'model_index.json' },
  )
}

async function writeWeights(
  folder: string,
  models: StableDiffusion,
  part: ModelPart,
  format: WeightFormat,
  dtype: ParameterFileDType,
): Promise<void> {
  const names = partFolders[part]
  const path = join(folder, names.folder, `${names[format]}.${format}`)
  await mkdir(dirname(path), { recursive: true })
  const entries = [...models[part].registry.parameters.values()].map((record) => fileEntry(record, dtype))
  if (format === 'bin') await writeTorchFile(path, entries)
  else await writeSafetensors(path, entries, { metadata: { format: 'pt' } })
}

async function writeFile(path: string, content: string | Uint8Array): Promise<void> {
  await mkdir(dirname(path), { recursive: true })
  await atomicWrite(path, content)
}
