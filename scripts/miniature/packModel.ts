/** The trained model as the package ships it: half precision, without what was never learned, with its curves. */
import { readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { copyInto, loadClipTokenizer, loadStableDiffusion, saveDiffusersFolder, tensor } from 'noisewright'
import { chartSvg } from '../../lib/cli/chart.ts'
import { atomicWrite } from '../../lib/io/atomicWrite.ts'
import { packageRoot } from '../../lib/util/packageRoot.ts'
import { readLosses } from './lossLog.ts'

/** What the package ships. */
export const shippedFolder = join(packageRoot(), 'assets/miniature')
const tokenEmbedding = 'text_model.embeddings.token_embedding.weight'

export interface PackPaths {
  /** Where the losses were noted. */
  readonly folder: string
  readonly trained: string
  readonly metadataFile: string
}

/** Replaces the shipped model. */
export async function packModel({ folder, trained, metadataFile }: PackPaths): Promise<void> {
  const { models } = await loadStableDiffusion(trained)
  try {
    const embedding = models.textEncoder.registry.parameters.get(tokenEmbedding)!.tensor
    const values = (await embedding.read()) as Float32Array
    const seen = await seenTokens(metadataFile)
    const size = embedding.dim(1)
    for (let token = 0; token < embedding.dim(0); token++)
      if (!seen.has(token)) values.fill(0, token * size, (token + 1) * size)
    const kept = tensor(values, embedding.shape)
    copyInto(embedding, kept)
    kept.dispose()
    const model = join(shippedFolder, 'model')
    await saveDiffusersFolder(model, models, { precision: 'fp16' })
    // The package has the tokenizer's rules in a quarter of the size; whoever saves the model gets these files again.
    await rm(join(model, 'tokenizer'), { recursive: true })
  } finally {
    models.dispose()
  }
  for (const [name, title] of [
    ['autoencoder', 'Loss of the autoencoder'],
    ['model/model', 'Loss of text encoder and U-Net'],
  ] as const) {
    const points = await readLosses(join(folder, `${name}.jsonl`))
    const values = points.flatMap(({ step, loss }, i) =>
      new Array<number>(step - (points[i - 1]?.step ?? 0)).fill(loss),
    )
    const file = join(shippedFolder, `${name.split('/')[0]}Loss.svg`)
    await atomicWrite(file, chartSvg([{ name: 'mean of 50 steps', values }], title))
  }
}

/** Tokens of all captions, and those of every text. */
async function seenTokens(metadataFile: string): Promise<Set<number>> {
  const tokenizer = await loadClipTokenizer()
  const metadata = JSON.parse(await readFile(metadataFile, 'utf8')) as Record<string, { caption: string }>
  const captions = Object.values(metadata).flatMap(({ caption }) => caption.split('\n'))
  return new Set(['', ...captions].flatMap((caption) => [...tokenizer.tokenize(caption)]))
}
