/** What a file of a model is, without reading its weights: for people, and as a gate for uploads. */
import { stat } from 'node:fs/promises'
import { openByteSource } from '../io/byteSource.ts'
import { fileContent } from '../io/fileContent.ts'
import { openNpz } from '../io/npz.ts'
import { openTensorFile } from '../io/openTensorFile.ts'
import { openShardedFile } from '../io/shardedFile.ts'
import { toIoError } from '../io/systemError.ts'
import type { TensorFile } from '../io/tensorFile.ts'
import type { ModelPart } from '../models/stableDiffusion/stableDiffusion.ts'
import { CheckpointError, IoError } from '../util/errors.ts'
import { type CheckpointKind, detectCheckpoint, listed, type PartReport, summarize } from './detect.ts'
import { openDiffusersFolder } from './folderSource.ts'
import { type EmbeddingReport, inspectEmbedding, inspectLora, type LoraReport } from './inspectNetworks.ts'
import { openLdmCheckpoint } from './ldmSource.ts'
import { modelParts } from './modelSource.ts'
import type { PredictionStatement } from './predictionType.ts'
import { withShippedModel } from './shippedModel.ts'
import { type Suspicion, suspicions } from './suspicion.ts'

export type InspectedFormat = 'safetensors' | 'torch' | 'npz' | 'sharded' | 'diffusersFolder'

export interface FileReport {
  readonly path: string
  /** Whether the file is whole and of a known format, so that the rest of the report says something. */
  readonly readable: boolean
  /** Why it is not readable. */
  readonly problem: string | null
  /** Why this library does not load it though it is readable: another family, missing tensors. Null where nothing speaks against it. */
  readonly refusal: string | null
  readonly format: InspectedFormat | null
  /** On the disk; of a folder or shards, of their weights. */
  readonly bytes: number
  readonly kind: CheckpointKind | 'arrays'
  /** In words: `Stable Diffusion 2.x`, `SDXL base`, `LoRA`. */
  readonly description: string
  readonly version: 1 | 2 | null
  /** What a whole model predicts, and how that is known. */
  readonly prediction: PredictionStatement | null
  readonly parts: Readonly<Record<ModelPart, PartReport | null>>
  /** All tensors. */
  readonly all: PartReport
  readonly lora: LoraReport | null
  readonly embedding: EmbeddingReport | null
  readonly metadata: Readonly<Record<string, string>>
  /** Odd things that a careful host wants to see. An empty list is no promise. */
  readonly suspicious: readonly Suspicion[]
}

const nothing: PartReport = { tensorCount: 0, parameterCount: 0, bytes: 0, dtypes: [] }
const noParts = { unet: null, textEncoder: null, vae: null }

/**
 * Says what a file is: a checkpoint, VAE, LoRA, textual inversion or archive of arrays, as safetensors or in PyTorch's container;
 * the index of sharded weights; or a diffusers folder. Only indexes are read, and the alphas of a LoRA, one number each: a file of
 * 7 GB takes a fraction of a second and a few megabytes. Nothing in a file is executed.
 *
 * A file that is damaged, hostile or of an unknown format is no error: the report has `readable: false` and says the problem. A gate for uploads
 * accepts a file when `readable` is true, `refusal` is null, `kind` is one it wants and nothing in `suspicious` disturbs it.
 *
 * @param words a path, or `miniature`: the model that comes with the package
 * @throws IoError when there is no such file or it may not be read, and nothing else
 */
export async function inspectFile(words: string): Promise<FileReport> {
  const path = await withShippedModel(words)
  const status = await stat(path).catch((error: unknown) => {
    throw toIoError(path, 'open', error)
  })
  const unreadable = (problem: string): FileReport => ({
    ...blank(path),
    bytes: status.isFile() ? status.size : 0,
    problem,
  })
  try {
    if (status.isDirectory()) return await inspectFolder(path)
    return await inspectTensors(path, status.size)
  } catch (error) {
    if (error instanceof CheckpointError) return unreadable(error.path === path ? withoutPath(error) : error.message)
    // A folder that lacks a file, a shard that is gone: the model is what is damaged.
    if (error instanceof IoError && error.path !== path) return unreadable(error.message)
    throw error
  }
}

function blank(path: string): FileReport {
  return {
    path,
    readable: false,
    problem: null,
    refusal: null,
    format: null,
    bytes: 0,
    kind: 'unknown',
    description: 'unreadable',
    version: null,
    prediction: null,
    parts: noParts,
    all: nothing,
    lora: null,
    embedding: null,
    metadata: {},
    suspicious: [],
  }
}

function withoutPath({ path, message }: CheckpointError): string {
  return message.startsWith(`${path}: `) ? message.slice(path.length + 2) : message
}

async function inspectFolder(folder: string): Promise<FileReport> {
  const model = await openDiffusersFolder(folder)
  try {
    const { config, parts } = model
    const report = (part: ModelPart): PartReport => summarize(parts[part].file, parts[part].file.names) ?? nothing
    const reports = { unet: report('unet'), textEncoder: report('textEncoder'), vae: report('vae') }
    const all = modelParts.map((part) => reports[part])
    const sum = (value: (part: PartReport) => number): number => all.reduce((total, part) => total + value(part), 0)
    const from = config.origin?.predictionTypeFrom === 'scheduler' ? 'scheduler/scheduler_config.json' : 'assumed'
    return {
      ...blank(folder),
      readable: true,
      format: 'diffusersFolder',
      bytes: sum(({ bytes }) => bytes),
      kind: 'stableDiffusion',
      description: `Stable Diffusion ${config.version}.x`,
      version: config.version,
      prediction: { value: config.predictionType, source: from },
      parts: reports,
      all: {
        tensorCount: sum(({ tensorCount }) => tensorCount),
        parameterCount: sum(({ parameterCount }) => parameterCount),
        bytes: sum(({ bytes }) => bytes),
        dtypes: [...new Set(all.flatMap(({ dtypes }) => dtypes))],
      },
      suspicious: modelParts.flatMap((part) => {
        const { file } = parts[part].file
        return suspicions(file, /\.bin\b/.test(file.path) ? 'torch' : 'safetensors', 0).filter(
          ({ what }) => what !== 'extension',
        )
      }),
    }
  } finally {
    await model.close()
  }
}

async function inspectTensors(path: string, size: number): Promise<FileReport> {
  const { file, format } = await openAny(path)
  try {
    const metadata = Object.fromEntries([...file.metadata].sort(([a], [b]) => (a < b ? -1 : 1)))
    const detected = detectCheckpoint(file)
    const base = { ...blank(path), ...pick(detected), readable: true, format, bytes: size, metadata }
    const suspicious = suspicions(file, format, size)
    if (format === 'npz') return { ...base, kind: 'arrays', description: 'NumPy arrays', refusal: null, suspicious }
    const odd = (names: readonly string[]): readonly Suspicion[] =>
      names.length === 0
        ? suspicious
        : [...suspicious, { what: 'unknownTensors', detail: `${names.length} unknown tensors: ${listed(names, 5)}` }]
    if (detected.kind === 'stableDiffusion' && detected.refusal === null) {
      const { unused, ...found } = await inspectCheckpoint(path)
      return { ...base, ...found, suspicious: odd(unused.filter((key) => !knownExtra.test(key))) }
    }
    if (detected.kind === 'lora') {
      const { unknown, ...found } = await inspectLora(file)
      return { ...base, ...found, suspicious: odd(unknown) }
    }
    if (detected.kind === 'textualInversion') return { ...base, embedding: inspectEmbedding(file), suspicious }
    return { ...base, suspicious: detected.kind === 'unknown' ? odd(file.names) : suspicious }
  } finally {
    await file.close()
  }
}

function pick({ kind, description, version, parts, all, prediction, refusal }: ReturnType<typeof detectCheckpoint>) {
  return { kind, description, version, parts, all, prediction, refusal }
}

/** Tensors that checkpoints have beside the three networks: averages, schedules, the unused end of OpenCLIP. */
const knownExtra =
  /^(model_ema\.|cond_stage_model\.(model\.(transformer\.resblocks\.\d+\.|text_projection|logit_scale|visual\.|attn_mask)|logit_scale)|first_stage_model\.loss\.|(betas|alphas_cumprod(_prev)?|(sqrt_|log_)[a-z_]+|posterior_[a-z_0-9]+|logvar|lvlb_weights|v_pred|ztsnr)$)/

/** The full check of a checkpoint: every tensor there, of the right shape. */
async function inspectCheckpoint(
  path: string,
): Promise<Pick<FileReport, 'refusal' | 'prediction'> & { unused: readonly string[] }> {
  try {
    const { report, close } = await openLdmCheckpoint(path)
    await close()
    const { predictionType, prediction, unused } = report
    return {
      refusal: null,
      prediction: prediction ?? { value: predictionType, source: 'assumed: the file does not state it' },
      unused,
    }
  } catch (error) {
    if (!(error instanceof CheckpointError)) throw error
    return { refusal: withoutPath(error), prediction: null, unused: [] }
  }
}

/** Opens a file by its content. PyTorch's and NumPy's archives differ only inside. */
async function openAny(path: string): Promise<{ readonly file: TensorFile; readonly format: InspectedFormat }> {
  if (/\.index(\.[\w-]+)?\.json$/.test(path)) return { file: await openShardedFile(path), format: 'sharded' }
  const source = await openByteSource(path)
  const { kind } = await fileContent(source).finally(() => source.close())
  if (kind === 'zip' && /\.npz$/i.test(path)) return { file: await openNpz(path), format: 'npz' }
  return { file: await openTensorFile(path), format: kind === 'safetensors' ? 'safetensors' : 'torch' }
}
