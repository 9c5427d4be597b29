/** Text encoder and U-Net of the miniature, by `fine-tune`. */
import { readdir, readFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import {
  noGrad,
  randomWeights,
  StableDiffusion,
  saveDiffusersFolder,
  scale,
  scope,
  sliceChannels,
  type Tensor,
  type Vae,
} from 'noisewright'
import { fineTuning, parseTraining, Trainer } from 'noisewright/train'
import { packageRoot } from '../../lib/util/packageRoot.ts'
import { type Pictures, pixelsOf } from './autoencoder.ts'
import { LossLog } from './lossLog.ts'
import { miniatureSizes } from './sizes.ts'

/** Writes the model that fine-tuning starts from: random weights around the autoencoder. */
export async function writeStart(folder: string, vae: Vae, pictures: Pictures, seed: number): Promise<void> {
  const scalingFactor = 1 / (await latentDeviation(vae, pictures))
  const trained = vae.registry.parameters
  const config = { ...miniatureSizes, vae: { ...miniatureSizes.vae, scalingFactor } }
  const models = new StableDiffusion(config, (part) =>
    part === 'vae' ? ({ name }) => scale(trained.get(name)!.tensor, { factor: 1 }) : randomWeights(seed),
  )
  try {
    await saveDiffusersFolder(folder, models)
  } finally {
    models.dispose()
  }
}

/** Root of the mean square of the pictures' latents. */
async function latentDeviation(vae: Vae, pictures: Pictures): Promise<number> {
  let [sum, count] = [0, 0]
  for (let first = 0; first < pictures.count; first += 64) {
    const indices = Array.from({ length: Math.min(64, pictures.count - first) }, (_, i) => first + i)
    const latents = await meansOf(vae, pixelsOf(pictures, indices))
    for (const value of latents) sum += value * value
    count += latents.length
  }
  return Math.sqrt(sum / count)
}

async function meansOf(vae: Vae, pixels: Tensor): Promise<Float32Array> {
  const means = noGrad(() =>
    scope(() => sliceChannels(vae.encode(pixels), { start: 0, end: vae.config.latentChannels })),
  )
  const values = (await means.read()) as Float32Array
  means.dispose()
  pixels.dispose()
  return values
}

export interface TrainModelPaths {
  readonly start: string
  readonly metadataFile: string
  readonly folder: string
}

/** Trains, from the last state if there is one, and writes the model's folder. */
export async function trainModel({ start, metadataFile, folder }: TrainModelPaths): Promise<void> {
  const state = await lastState(folder)
  const { config } = await parseTraining('fine-tune', [
    ...['--config_file', join(packageRoot(), 'scripts/miniature/fineTune.toml')],
    ...['--pretrained_model_name_or_path', start],
    ...['--in_json', metadataFile, '--train_data_dir', dirname(metadataFile)],
    ...['--output_dir', folder],
    ...(state === null ? [] : ['--resume', state]),
  ])
  const log = new LossLog(join(folder, 'model.jsonl'), 'text encoder and U-Net', 50)
  const stop = new AbortController()
  process.once('SIGINT', () => stop.abort())
  const trainer = await Trainer.open(fineTuning, config)
  try {
    for await (const event of trainer.run({ signal: stop.signal })) {
      if (event.type === 'step') await log.add(event.step, event.loss)
      else if (event.type === 'warning') console.warn(event.message)
    }
  } finally {
    trainer.dispose()
  }
  stop.signal.throwIfAborted()
}

/** The folder of the state that has come furthest; null: there is none. */
async function lastState(folder: string): Promise<string | null> {
  const names = (await readdir(folder).catch(() => [])).filter((name) => name.endsWith('-state'))
  const states = await Promise.all(
    names.map(async (name) => {
      const { position } = JSON.parse(await readFile(join(folder, name, 'manifest.json'), 'utf8')) as {
        position: { step: number }
      }
      return { path: join(folder, name), step: position.step }
    }),
  )
  return states.sort((a, b) => b.step - a.step)[0]?.path ?? null
}
