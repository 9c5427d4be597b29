/** The model that the methods start from: a tiny Stable Diffusion that knows some pictures by their captions. */
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { saveDiffusersFolder } from '../../lib/checkpoints/diffusersFolder.ts'
import { type StableDiffusionConfig, tinySd1 } from '../../lib/models/stableDiffusion/config.ts'
import { StableDiffusion } from '../../lib/models/stableDiffusion/stableDiffusion.ts'
import { randomWeights } from '../../lib/nn/init.ts'
import { fineTuning } from '../../lib/train/methods/fineTune.ts'
import { trainTinyVae } from './tinyVae.ts'
import { baseConfig, report, runTraining } from './trainings.ts'
import { picturesOf, themeSource, type World } from './world.ts'

const sizes: StableDiffusionConfig = {
  ...tinySd1,
  name: 'tiny Stable Diffusion of the learning suite',
  unet: { ...tinySd1.unet, blockOutChannels: [32, 64, 64, 64], crossAttentionDim: 64 },
  textEncoder: { ...tinySd1.textEncoder, hiddenSize: 64, intermediateSize: 128, layers: 2 },
  vae: { ...tinySd1.vae, blockOutChannels: [16, 32, 64, 64], layersPerBlock: 1, scalingFactor: 0.8 },
}

export interface PriorSteps {
  readonly vae: number
  readonly model: number
}

/**
 * Trains the autoencoder by a loop of its own and the rest by `fine-tune`, or takes what an earlier run left in the folder.
 * @returns the model's folder
 */
export async function makePrior(world: World, folder: string, steps: PriorSteps): Promise<string> {
  const start = join(folder, `vae-${steps.vae}`)
  if (!(await exists(start))) await makeStart(world, start, steps.vae)
  const name = `prior-${steps.vae}-${steps.model}`
  if (await exists(join(folder, name))) return join(folder, name)
  const config = {
    ...baseConfig({ model: start, folder, name, steps: steps.model, learningRate: 2e-3 }),
    fineTune: { trainTextEncoder: true, textEncoderLearningRate: null },
  }
  const source = await themeSource(world.known, 16)
  const optimizer = { ...config.optimizer, scheduler: 'cosine' as const, warmupSteps: 50 }
  const prior = await runTraining(fineTuning, { ...config, data: { ...config.data, source }, optimizer }, 'prior model')
  prior.dispose()
  return join(folder, name)
}

async function makeStart(world: World, folder: string, steps: number): Promise<void> {
  const models = new StableDiffusion(sizes, () => randomWeights(1))
  try {
    const progress = report('autoencoder', steps)
    models.replaceVae(
      await trainTinyVae(sizes.vae, await picturesOf(world.known), { steps, seed: 1, onStep: progress }),
    )
    await saveDiffusersFolder(folder, models)
  } finally {
    models.dispose()
  }
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  )
}
