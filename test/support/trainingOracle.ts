/** Trainings under the conditions of a case of scripts/reference/oracle.py, and how far they come out from PyTorch's. */
import { basename, extname, join } from 'node:path'
import sharp from 'sharp'
import { saveDiffusersFolder } from '../../lib/checkpoints/diffusersFolder.ts'
import { epochBatches } from '../../lib/data/batches.ts'
import { channelsLast, writeLatentFile } from '../../lib/data/latentFiles.ts'
import { noiseSchedule } from '../../lib/diffusion/noiseSchedule.ts'
import type { PredictionType, StableDiffusionConfig } from '../../lib/models/stableDiffusion/config.ts'
import { StableDiffusion } from '../../lib/models/stableDiffusion/stableDiffusion.ts'
import { storeParameter } from '../../lib/ops/storeParameter.ts'
import type { OptimizerParameter } from '../../lib/optim/optimizer.ts'
import { scope } from '../../lib/tensor/scope.ts'
import type { StepEvent } from '../../lib/train/events.ts'
import { dreamBooth } from '../../lib/train/methods/dreamBooth.ts'
import { fineTuning } from '../../lib/train/methods/fineTune.ts'
import { textualInversion, xti } from '../../lib/train/methods/trainInversion.ts'
import { networkTraining } from '../../lib/train/methods/trainNetwork.ts'
import { readNetworkArguments } from '../../lib/train/options/networkArguments.ts'
import { drawTimesteps } from '../../lib/train/step/noise.ts'
import type { TrainConfig } from '../../lib/train/trainConfig.ts'
import { Trainer } from '../../lib/train/trainer.ts'
import { loadTrainingData } from '../../lib/train/trainingData.ts'
import { formulaIntegers, formulaKey, formulaValues, hash24 } from './formula.ts'
import { type FormulaLora, writeFormulaLora } from './formulaLora.ts'
import type { TinyModelName } from './modelFixture.ts'
import { addFiles, type FileContent, makeFolder } from './pictures.ts'
import { formulaWeights, tinyConfigs } from './tinyModels.ts'
import { eventsOf, only, tinyTraining } from './tinyTraining.ts'
import { tinyDreamBooth, tinyFineTune, tinyInversion } from './tinyTrainings.ts'

interface Subset {
  readonly pictures: readonly {
    readonly name: string
    readonly size: readonly [width: number, height: number]
    readonly caption: string
  }[]
  readonly repeats: number
  readonly isReg?: boolean
  readonly flip?: boolean
  /** Pictures have masks of the loss. */
  readonly masked?: boolean
}

/** One batch: pictures, with '~' where mirrored, and what is drawn for them. */
interface Pass {
  readonly epoch: number
  readonly pictures: readonly string[]
  readonly timesteps: readonly number[]
}

/** Norm, two projections, then samples of the final less the first values of a tensor. */
type Change = readonly [norm: number, w0: number, w1: number, ...samples: number[]]

export interface TrainingFixture {
  readonly case: {
    readonly kind: keyof typeof openers
    readonly model: TinyModelName
    readonly predictionType: PredictionType
    /** In files beside the metadata, or to be encoded. */
    readonly latents: 'given' | 'encoded'
    readonly seed: number
    readonly batchSize: number
    readonly subsets: readonly Subset[]
    /** In place of parts of `tinyTraining`. */
    readonly config: Parameters<typeof tinyFineTune>[2] &
      Parameters<typeof tinyDreamBooth>[2] &
      Parameters<typeof tinyInversion>[2]
    /** `--network_module` and `--network_args`. Default: LoRA without any. */
    readonly networkModule?: string
    readonly networkArguments?: readonly string[]
    /** Merged into the model before, and gone on from. Default: none. */
    readonly loraFiles?: Readonly<Record<'base' | 'start', FormulaLora>>
  }
  readonly passes: readonly Pass[]
  readonly steps: readonly { readonly loss: number; readonly gradientNorm: number; readonly rates: readonly number[] }[]
  readonly changes: Readonly<Record<string, Change>>
}

const openers = {
  async 'fine-tune'(model: string, data: string, overrides: TrainingFixture['case']['config']) {
    const config = await tinyFineTune(model, data, overrides)
    return { config, trainer: await Trainer.open(fineTuning, config) }
  },
  async 'train-db'(model: string, data: string, overrides: TrainingFixture['case']['config']) {
    const config = await tinyDreamBooth(model, data, overrides)
    return { config, trainer: await Trainer.open(dreamBooth, config) }
  },
  async 'train-network'(model: string, data: string, overrides: TrainingFixture['case']['config']) {
    const config = await tinyTraining(model, data, overrides)
    return { config, trainer: await Trainer.open(networkTraining, config) }
  },
  async 'train-textual-inversion'(model: string, data: string, overrides: TrainingFixture['case']['config']) {
    const config = await tinyInversion(model, data, overrides)
    return { config, trainer: await Trainer.open(textualInversion, config) }
  },
  async 'train-textual-inversion-xti'(model: string, data: string, overrides: TrainingFixture['case']['config']) {
    const config = await tinyInversion(model, data, overrides)
    return { config, trainer: await Trainer.open(xti, config) }
  },
}

export interface OracleRun {
  readonly passes: readonly Pass[]
  readonly steps: readonly StepEvent[]
  /** By name, in file layout. */
  readonly before: ReadonlyMap<string, Float32Array>
  readonly after: ReadonlyMap<string, Float32Array>
}

/** Trains as the fixture tells. */
export async function runCase({ case: given, passes }: TrainingFixture): Promise<OracleRun> {
  const { kind, subsets, batchSize, latents } = given
  const places = await Promise.all(subsets.map(latents === 'given' ? writeLatents : writePictures))
  const data = await makeFolder({ 'data.toml': [header(latents, batchSize), ...places].join('\n') })
  const model = await saveModel(given)
  const { config, trainer } = await openers[kind](model, join(data, 'data.toml'), configOf(given, model))
  try {
    const parameters = trainer.method.groups.flatMap(({ params }) => params)
    const before = await valuesOf(parameters)
    const steps = only(await eventsOf(trainer.run()), 'step')
    return { passes: await plannedPasses(config, passes.length), steps, before, after: await valuesOf(parameters) }
  } finally {
    trainer.dispose()
  }
}

/** With what the arguments of the network say, and files beside the model. */
function configOf({ config, networkModule, networkArguments, loraFiles }: TrainingFixture['case'], model: string) {
  if (loraFiles !== undefined) {
    const files = { baseWeights: [loraFile(model, 'base')], weights: loraFile(model, 'start') }
    return { ...config, network: { ...config?.network, ...files } }
  }
  if (networkArguments === undefined) return config
  const { dim = null, dropout = null } = config?.network ?? {}
  const context = { dim, dropout, ...(networkModule && { module: networkModule }) }
  const { facts, problems } = readNetworkArguments(networkArguments, context)
  if (problems.length > 0) throw new Error(problems.join('\n'))
  return { ...config, network: { ...config?.network, ...facts } }
}

function loraFile(model: string, name: string): string {
  return `${model}-${name}.safetensors`
}

async function saveModel({ kind, model, predictionType, loraFiles }: TrainingFixture['case']): Promise<string> {
  const folder = join(await makeFolder(), 'model')
  const prefixes = { unet: 'unet', textEncoder: 'text_encoder', vae: 'vae' } as const
  const config = { ...sizesOf(kind, tinyConfigs[model]), predictionType }
  const models = new StableDiffusion(config, (part) => formulaWeights(prefixes[part]))
  try {
    await saveDiffusersFolder(folder, models)
    for (const [name, options] of Object.entries(loraFiles ?? {}))
      await writeFormulaLora(loraFile(folder, name), name, models, options)
  } finally {
    models.dispose()
  }
  return folder
}

/** Two levels and two layers; the VAE as it is. Rows for each of sixteen cross-attention layers need them all. */
function sizesOf(
  kind: TrainingFixture['case']['kind'],
  { unet, textEncoder, ...config }: StableDiffusionConfig,
): StableDiffusionConfig {
  const small = { ...unet, blockOutChannels: [32, 64], layersPerBlock: 1, heads: unet.heads.slice(0, 2) }
  return {
    ...config,
    unet: kind === 'train-textual-inversion-xti' ? unet : small,
    textEncoder: { ...textEncoder, layers: 2 },
  }
}

function header(latents: 'given' | 'encoded', batchSize: number): string {
  const buckets = `resolution = [128, 64]
enable_bucket = true
min_bucket_reso = 64
max_bucket_reso = 128
`
  return `[[datasets]]\nbatch_size = ${batchSize}\n${latents === 'given' ? 'resolution = 64' : buckets}`
}

function subsetText({ repeats, isReg = false, flip = false }: Subset, more: Readonly<Record<string, string>>): string {
  const strings = Object.entries(more).map(([key, value]) => `${key} = ${JSON.stringify(value)}`)
  const rest = [`num_repeats = ${repeats}`, `flip_aug = ${flip}`, ...(isReg ? ['is_reg = true'] : [])]
  return ['[[datasets.subsets]]', ...strings, ...rest].join('\n')
}

/** Latents by the formula, with metadata. @returns the subset's lines */
async function writeLatents(subset: Subset): Promise<string> {
  const folder = await makeFolder()
  const entries: Record<string, unknown> = {}
  for (const { name, size, caption } of subset.pictures) {
    entries[name] = { caption, train_resolution: size }
    const [w, h] = [size[0] / 8, size[1] / 8]
    for (const [kind, file] of [
      ['latents', `${name}.npz`],
      ...(subset.flip ? [['flipped', `${name}_flip.npz`]] : []),
    ]) {
      const inFile = formulaValues(`oracle/${name}/${kind}`, { shape: [4, h, w], kind: 'normal-like', scale: 5 })
      await writeLatentFile(join(folder, file!), { values: channelsLast(inFile, 4), shape: [h, w, 4] })
    }
  }
  await addFiles(folder, { 'meta.json': JSON.stringify(entries) })
  return subsetText(subset, { image_dir: folder, metadata_file: join(folder, 'meta.json') })
}

/** Pictures by the formula, with captions beside them. @returns the subset's lines */
async function writePictures(subset: Subset): Promise<string> {
  const files: Record<string, FileContent> = {}
  const masks: Record<string, FileContent> = {}
  for (const { name, size, caption } of subset.pictures) {
    files[`${name}.png`] = await formulaPicture(`oracle/${name}/pixels`, size)
    files[`${name}.txt`] = caption
    masks[`${name}.png`] = await formulaPicture(`oracle/${name}/mask`, size)
  }
  return subsetText(subset, {
    image_dir: await makeFolder(files),
    caption_extension: '.txt',
    ...(subset.masked && { conditioning_data_dir: await makeFolder(masks) }),
  })
}

/** A PNG file. */
function formulaPicture(name: string, [width, height]: readonly [width: number, height: number]): Promise<Buffer> {
  const shape = [height, width, 3]
  const pixels = Uint8Array.from(formulaIntegers(name, { shape, kind: 'integer', scale: 256 }))
  return sharp(pixels, { raw: { width, height, channels: 3 } })
    .png()
    .toBuffer()
}

/** The first batches that a training of this configuration takes. */
async function plannedPasses({ data, training, noise: own }: TrainConfig, count: number): Promise<Pass[]> {
  const group = await loadTrainingData({ data }, { seed: training.seed! })
  const noise = { noiseOffset: null, adaptiveNoiseScale: null, predictionType: 'epsilon', ...own } as const
  const passes: Pass[] = []
  for (let epoch = 1; passes.length < count; epoch++) {
    for (const [batch, { items }] of [...epochBatches(group, epoch)].entries()) {
      const pictures = items.map(({ image: { key }, flip }) => `${basename(key, extname(key))}${flip ? '~' : ''}`)
      const options = { ...noise, seed: group.seed, schedule: noiseSchedule() }
      passes.push({ epoch, pictures, timesteps: drawTimesteps(items.length, options, { epoch, batch }) })
    }
  }
  return passes.slice(0, count)
}

async function valuesOf(parameters: readonly OptimizerParameter[]): Promise<Map<string, Float32Array>> {
  const values = new Map<string, Float32Array>()
  for (const { name, master, layout } of parameters) {
    const packed = scope(() =>
      storeParameter(master, { layout: layout === 'conv' ? 'conv' : 'same', dtype: 'float32' }),
    )
    values.set(name, (await packed.read()) as Float32Array)
    packed.dispose()
  }
  return values
}

export interface WeightErrors {
  /** Norm of the difference of all final weights, over the norm of the weights. */
  readonly weights: number
  /** The same over the norm of the change from the first weights. */
  readonly change: number
  /** Norm of the differences of the samples, over the norm of the samples of the change. */
  readonly samples: number
  /** As `weights`, of the worst tensor, with its name. */
  readonly worst: { readonly name: string; readonly error: number }
}

/**
 * How far the final weights are from the reference. The norm of a difference d is estimated by its dot products with vectors w of
 * independent elements uniform in [-1, 1), of which the mean square is |d|^2 / 3.
 */
export function weightErrors({ before, after }: OracleRun, changes: TrainingFixture['changes']): WeightErrors {
  const sum = { difference: 0, weights: 0, change: 0, sampleDifference: 0, samples: 0 }
  let worst = { name: '', error: 0 }
  for (const [name, [norm, w0, w1, ...samples]] of Object.entries(changes)) {
    const final = after.get(name)!
    const change = Float64Array.from(final, (value, i) => value - before.get(name)![i]!)
    const difference = [w0, w1].reduce((total, w, k) => total + 1.5 * (dot(change, `${name}/w${k}`) - w) ** 2, 0)
    const weights = final.reduce((total, value) => total + value * value, 0)
    sum.difference += difference
    sum.weights += weights
    sum.change += norm * norm
    samples.forEach((expected, k) => {
      const at = Math.floor(((2 * k + 1) * change.length) / (2 * samples.length))
      sum.sampleDifference += (change[at]! - expected) ** 2
      sum.samples += expected * expected
    })
    const error = Math.sqrt(difference / weights)
    if (!(error <= worst.error)) worst = { name, error }
  }
  return {
    weights: Math.sqrt(sum.difference / sum.weights),
    change: Math.sqrt(sum.difference / sum.change),
    samples: Math.sqrt(sum.sampleDifference / sum.samples),
    worst,
  }
}

function dot(values: Float64Array, vector: string): number {
  const key = formulaKey(vector)
  return values.reduce((sum, value, i) => sum + value * (hash24(key, i) * 2 ** -23 - 1), 0)
}
