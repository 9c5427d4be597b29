import { join } from 'node:path'
import { saveDiffusersFolder } from '../checkpoints/diffusersFolder.ts'
import { tinySd1 } from '../models/stableDiffusion/config.ts'
import { StableDiffusion } from '../models/stableDiffusion/stableDiffusion.ts'
import { randomWeights } from '../nn/init.ts'
import type { TrainNetworkConfig } from '../train/trainConfig.ts'
import { makeDemoData } from './pictures.ts'

export interface DemoOptions {
  /** Default: 8, of 8 steps each with the default count. */
  readonly epochs?: number | undefined
  /** Of the model's weights and of the training. Default: 1. */
  readonly seed?: number | undefined
  /** Width and height of the pictures in pixels, a multiple of 64. Default: 64. */
  readonly size?: number | undefined
  /** How many pictures. Default: 32. */
  readonly count?: number | undefined
}

/**
 * Makes everything a first training needs in a folder: captioned pictures and prompts (`data/`) and a tiny model with random
 * weights (`model/`), which draws nothing recognisable.
 *
 * @returns the configuration of a LoRA training on them, for `trainNetwork`; it writes into the same folder
 * @throws DataError when the packages the pictures come from are not installed; IoError when a file cannot be written
 */
export async function prepareDemo(folder: string, options: DemoOptions = {}): Promise<TrainNetworkConfig> {
  const { epochs = 8, seed = 1, size = 64, count = 32 } = options
  const data = await makeDemoData(join(folder, 'data'), { count, size, batchSize: 4 })
  const modelFolder = join(folder, 'model')
  const models = new StableDiffusion(tinySd1, () => randomWeights(seed))
  try {
    await saveDiffusersFolder(modelFolder, models)
  } finally {
    models.dispose()
  }
  return {
    model: { path: modelFolder, v2: false, vParameterization: false, vae: null, clipSkip: null, maxTokenLength: null },
    data: {
      source: { configFile: data.datasetFile },
      fallbacks: {},
      cacheLatents: true,
      vaeBatchSize: 4,
      priorLossWeight: 1,
    },
    network: {
      dim: 8,
      alpha: 8,
      dropout: null,
      trainUnet: true,
      trainTextEncoder: true,
      trainingComment: 'the demo of noisewright',
    },
    optimizer: {
      type: 'AdamW',
      learningRate: 1e-2,
      unetLearningRate: null,
      textEncoderLearningRate: 1e-3,
      maxGradNorm: 1,
      scheduler: 'cosine',
      warmupSteps: 0,
      schedulerCycles: 1,
      schedulerPower: 1,
    },
    training: {
      maxSteps: 0,
      maxEpochs: epochs,
      gradientAccumulationSteps: 1,
      gradientCheckpointing: false,
      mixedPrecision: 'no',
      seed,
    },
    output: { folder, name: 'demo', saveEveryEpochs: null, saveEverySteps: null, savePrecision: null },
    preview: { promptFile: data.promptFile, everyEpochs: epochs, everySteps: null },
    logging: { folder: join(folder, 'log'), prefix: '', trackerName: 'network_train' },
  }
}
