/** Makes the miniature, from pictures to the folder in the package. Stopped at any moment, the next run goes on. */
import { existsSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { trainAutoencoder } from './autoencoder.ts'
import { LossLog } from './lossLog.ts'
import { packModel } from './packModel.ts'
import { drawAll, knownEmoji, writePictures } from './pictures.ts'
import { miniatureSizes } from './sizes.ts'
import { trainModel, writeStart } from './trainModel.ts'

const folder = resolve(process.argv[2] ?? 'out/miniature')
const autoencoderSteps = 9000
const seed = 1

await mkdir(folder, { recursive: true })
const emoji = await knownEmoji()
const pictures = await drawAll(emoji)
const metadataFile = await writePictures(folder, emoji, pictures)

const start = join(folder, 'start')
if (!existsSync(start)) {
  const log = new LossLog(join(folder, 'autoencoder.jsonl'), 'autoencoder', 50)
  const vae = await trainAutoencoder(miniatureSizes.vae, pictures, {
    steps: autoencoderSteps,
    seed,
    stateFile: join(folder, 'autoencoder.safetensors'),
    saveEvery: 250,
    onStep: (step, loss) => log.add(step, loss),
  })
  await writeStart(start, vae, pictures, seed)
  vae.dispose()
}

const trained = join(folder, 'model')
if (!existsSync(join(trained, 'miniature'))) await trainModel({ start, metadataFile, folder: trained })
await packModel({ folder, trained: join(trained, 'miniature'), metadataFile })
