/** A tiny model and four pictures for trainings from the command line, in a folder of the caller's. */
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { saveDiffusersFolder } from '../../lib/checkpoints/diffusersFolder.ts'
import { tinySd1 } from '../../lib/models/stableDiffusion/config.ts'
import { StableDiffusion } from '../../lib/models/stableDiffusion/stableDiffusion.ts'
import { randomWeights } from '../../lib/nn/init.ts'
import { writePng } from '../../lib/preview/png.ts'
import { uniform } from './seededNumbers.ts'

export interface TinyFiles {
  readonly model: string
  /** Options that choose data of each training. */
  readonly data: Readonly<Record<'train-network' | 'fine-tune', readonly string[]>>
}

export async function writeTinyFiles(folder: string): Promise<TinyFiles> {
  const [model, pictures] = [join(folder, 'model'), join(folder, 'pictures')]
  const models = new StableDiffusion(tinySd1, () => randomWeights(1))
  await saveDiffusersFolder(model, models).finally(() => models.dispose())
  await mkdir(pictures, { recursive: true })
  const random = uniform(1)
  const metadata: Record<string, { readonly caption: string }> = {}
  for (const name of ['a', 'b', 'c', 'd']) {
    const pixels = Uint8Array.from({ length: 64 * 64 * 3 }, () => 256 * random())
    await writePng(join(pictures, `${name}.png`), { width: 64, height: 64, pixels })
    await writeFile(join(pictures, `${name}.txt`), `sks frog, ${name}, in the rain, at night`)
    metadata[name] = { caption: `sks frog, ${name}` }
  }
  await writeFile(join(folder, 'metadata.json'), JSON.stringify(metadata))
  const dataset = (name: string, subset: string): Promise<void> =>
    writeFile(
      join(folder, name),
      `[[datasets]]\nresolution = 64\nbatch_size = 1\n[[datasets.subsets]]\nimage_dir = ${JSON.stringify(pictures)}\n${subset}\n`,
    )
  await dataset('network.toml', 'caption_extension = ".txt"\nshuffle_caption = true\nflip_aug = true')
  await dataset('fineTune.toml', `metadata_file = ${JSON.stringify(join(folder, 'metadata.json'))}\nflip_aug = true`)
  return {
    model,
    data: {
      'train-network': ['--dataset_config', join(folder, 'network.toml')],
      'fine-tune': ['--dataset_config', join(folder, 'fineTune.toml')],
    },
  }
}
