/** Everything a small training needs on disk: pictures with captions, a tiny model, and a configuration that names them. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { saveDiffusersFolder } from '../../lib/checkpoints/diffusersFolder.ts'
import { type StableDiffusionConfig, tinySd1 } from '../../lib/models/stableDiffusion/config.ts'
import { StableDiffusion } from '../../lib/models/stableDiffusion/stableDiffusion.ts'
import { randomWeights } from '../../lib/nn/init.ts'
import type { TrainEvent } from '../../lib/train/events.ts'
import type { TrainNetworkConfig } from '../../lib/train/trainConfig.ts'
import { type FileContent, makeFolder } from './pictures.ts'

/** One picture of each format and size 64, each with a caption. */
export const fourPictures: Readonly<Record<string, FileContent>> = {
  'a.png': [64, 64],
  'a.txt': 'sks frog, sitting on a leaf, green',
  'b.jpg': [80, 64],
  'b.txt': 'sks frog, in the rain',
  'c.webp': [64, 96],
  'c.txt': 'sks frog, at night',
  'd.bmp': [70, 70],
  'd.txt': 'sks frog',
}

/** Writes a tiny model in the diffusers layout. @returns its folder */
export async function saveTinyModel(config: StableDiffusionConfig = tinySd1): Promise<string> {
  const folder = join(await makeFolder(), 'tiny-model')
  const models = new StableDiffusion(config, () => randomWeights(1))
  try {
    await saveDiffusersFolder(folder, models)
  } finally {
    models.dispose()
  }
  return folder
}

export interface TinyDataOptions {
  readonly pictures?: Readonly<Record<string, FileContent>>
  /** More lines of the subset. */
  readonly subset?: string
  /** Default: 2. */
  readonly batchSize?: number
  /** Pixels. Default: 64. */
  readonly resolution?: number
}

/** Writes pictures and a data set description. @returns the path of the description */
export async function makeTinyData(options: TinyDataOptions = {}): Promise<string> {
  const { pictures = fourPictures, subset = '', batchSize = 2, resolution = 64 } = options
  const images = await makeFolder(pictures)
  const toml = `[general]
caption_extension = ".txt"

[[datasets]]
resolution = ${resolution}
batch_size = ${batchSize}

  [[datasets.subsets]]
  image_dir = ${JSON.stringify(images)}
  num_repeats = 1
  ${subset}
`
  return join(await makeFolder({ 'data.toml': toml }), 'data.toml')
}

/** Any part of the configuration. */
export type TinyOverrides = { readonly [Block in keyof TrainNetworkConfig]?: Partial<TrainNetworkConfig[Block]> }

/** A configuration of two steps in float32 that writes to a fresh folder, with parts replaced. */
export async function tinyTraining(
  model: string,
  dataFile: string,
  overrides: TinyOverrides = {},
): Promise<TrainNetworkConfig> {
  return {
    model: {
      path: model,
      v2: false,
      vParameterization: false,
      vae: null,
      clipSkip: null,
      maxTokenLength: null,
      ...overrides.model,
    },
    data: {
      source: { configFile: dataFile },
      fallbacks: {},
      cacheLatents: true,
      vaeBatchSize: 1,
      priorLossWeight: 1,
      ...overrides.data,
    },
    network: {
      dim: 4,
      alpha: 4,
      dropout: null,
      trainUnet: true,
      trainTextEncoder: true,
      trainingComment: null,
      ...overrides.network,
    },
    optimizer: {
      type: 'AdamW',
      learningRate: 1e-3,
      unetLearningRate: null,
      textEncoderLearningRate: null,
      maxGradNorm: 1,
      scheduler: 'constant',
      warmupSteps: 0,
      schedulerCycles: 1,
      schedulerPower: 1,
      ...overrides.optimizer,
    },
    training: {
      maxSteps: 2,
      maxEpochs: null,
      gradientAccumulationSteps: 1,
      gradientCheckpointing: false,
      mixedPrecision: 'no',
      seed: 7,
      ...overrides.training,
    },
    ...(overrides.noise && { noise: overrides.noise }),
    ...(overrides.loss && { loss: overrides.loss }),
    ...(overrides.validation && { validation: { split: null, ...overrides.validation } }),
    ...(overrides.state && { state: overrides.state }),
    output: {
      folder: join(await makeFolder(), 'out'),
      name: 'frog',
      saveEveryEpochs: null,
      saveEverySteps: null,
      savePrecision: null,
      ...overrides.output,
    },
    preview: { promptFile: null, everyEpochs: null, everySteps: null, ...overrides.preview },
    logging: { folder: null, prefix: '', trackerName: 'network_train', ...overrides.logging },
  }
}

/** Runs to the end. @returns every event */
export async function eventsOf(training: AsyncIterable<TrainEvent>): Promise<TrainEvent[]> {
  const events: TrainEvent[] = []
  for await (const event of training) events.push(event)
  return events
}

/** The events of one type. */
export function only<Type extends TrainEvent['type']>(
  events: readonly TrainEvent[],
  type: Type,
): Extract<TrainEvent, { readonly type: Type }>[] {
  return events.filter((event): event is Extract<TrainEvent, { readonly type: Type }> => event.type === type)
}

/** What follows a safetensors file's header: the bytes of all tensors. The headers differ by the times they record. */
export async function tensorBytes(path: string): Promise<Buffer> {
  const bytes = await readFile(path)
  return bytes.subarray(8 + Number(bytes.readBigUInt64LE(0)))
}
