/**
 * Writes tiny models as diffusers folders, in every form there is, each with the outputs of its networks in `values.json`.
 * `scripts/reference/check_folder.py` opens the folders in Python and compares. `node scripts/writeFolders.mjs [folder]` compiles
 * and runs it; the folder is out/folders by default.
 */
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { loadDiffusersFolder, type SaveFolderOptions, saveDiffusersFolder } from '../lib/checkpoints/diffusersFolder.ts'
import { loadClipTokenizer } from '../lib/models/clip/tokenizer.ts'
import { type StableDiffusionConfig, tinySd1, tinySd2 } from '../lib/models/stableDiffusion/config.ts'
import { StableDiffusion } from '../lib/models/stableDiffusion/stableDiffusion.ts'
import { randomWeights } from '../lib/nn/init.ts'
import { tensor } from '../lib/tensor/create.ts'
import { scope } from '../lib/tensor/scope.ts'
import type { Tensor } from '../lib/tensor/tensor.ts'

const root = process.argv[2] ?? join('out', 'folders')
const captions = ['a photo of a cat!', 'Ein Fröschlein, 3 × grün 🐸', '']
const tinySd2Velocity: StableDiffusionConfig = { ...tinySd2, predictionType: 'v_prediction' }

const cases: readonly { name: string; config: StableDiffusionConfig; options: SaveFolderOptions }[] = [
  { name: 'sd1', config: tinySd1, options: {} },
  { name: 'sd1-bin', config: tinySd1, options: { format: 'bin' } },
  { name: 'sd1-bin-fp16', config: tinySd1, options: { format: 'bin', precision: 'fp16' } },
  { name: 'sd2', config: tinySd2, options: {} },
  { name: 'sd2-velocity-bf16', config: tinySd2Velocity, options: { precision: 'bf16' } },
]

/** Numbers that both languages read from the same file, near a standard normal's size. */
function inputs(count: number, phase: number): number[] {
  return Array.from({ length: count }, (_, i) => Math.fround(1.5 * Math.sin(1 + phase + i * 0.7)))
}

async function values(
  name: string,
  make: () => Tensor,
): Promise<{ name: string; shape: readonly number[]; values: number[] }> {
  const result = scope(make)
  const { shape } = result
  const found = Array.from((await result.read()) as Float32Array)
  result.dispose()
  return { name, shape, values: found }
}

async function outputs(models: StableDiffusion): Promise<object> {
  const { config } = models
  const tokenizer = await loadClipTokenizer({ variant: config.version === 2 ? 'sd2' : 'sd1' })
  const ids = captions.map((caption) => Array.from(tokenizer.tokenize(caption)))
  const latents = inputs(8 * 8 * 4, 0)
  const context = inputs(77 * config.unet.crossAttentionDim, 1)
  const pixels = inputs(64 * 64 * 3, 2).map((value) => Math.fround(value / 2))
  const tokens = ids.filter((row) => row.every((id) => id < config.textEncoder.vocabSize)).slice(0, 1)
  return {
    captions,
    ids,
    inputs: { latents, timestep: 500, context, pixels, tokens },
    outputs: [
      await values('text', () => models.textEncoder.encode(tensor(tokens.flat(), [1, 77], { dtype: 'int32' }))),
      await values('unet', () =>
        models.unet.forward(
          tensor(latents, [1, 8, 8, 4]),
          tensor([500], [1]),
          tensor(context, [1, 77, config.unet.crossAttentionDim]),
        ),
      ),
      await values('vaeEncoder', () => models.vae.encode(tensor(pixels, [1, 64, 64, 3]))),
      await values('vaeDecoder', () => models.vae.decode(tensor(latents, [1, 8, 8, 4]))),
    ],
  }
}

async function write(name: string, models: StableDiffusion, options: SaveFolderOptions): Promise<void> {
  const folder = join(root, name)
  await saveDiffusersFolder(folder, models, options)
  // What was written is what Python will see: rounded to the precision of the files.
  const written = await loadDiffusersFolder(folder)
  await writeFile(join(folder, 'values.json'), JSON.stringify(await outputs(written)))
  written.dispose()
  process.stdout.write(`${folder}\n`)
}

await mkdir(root, { recursive: true })
for (const { name, config, options } of cases) {
  const models = new StableDiffusion(config, () => randomWeights(5))
  await write(name, models, options)
  models.dispose()
}
const again = await loadDiffusersFolder(join(root, 'sd2-velocity-bf16'), { dtypes: { unet: 'bfloat16' } })
await write('sd2-saved-again', again, {})
again.dispose()
