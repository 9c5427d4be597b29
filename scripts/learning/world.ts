/** The pictures of the learning suite: what the prior model knows, and what it has never seen. */
import { mkdir, readdir, rename } from 'node:fs/promises'
import { join } from 'node:path'
import { resolveDatasetConfig } from '../../lib/config/datasetConfig.ts'
import type { DatasetSource } from '../../lib/data/datasetGroup.ts'
import { type DecodedImage, decodeImage } from '../../lib/data/image.ts'
import { makeDemoData } from '../../lib/demo/pictures.ts'
import { mergeTexts } from '../../lib/prepare/mergeTexts.ts'

/** Width and height of every picture in pixels. */
export const pictureSize = 64
const knownThemes = ['Animals & Nature', 'Food & Drink', 'Travel & Places', 'Activities', 'Objects'] as const
const otherTheme = 'Smileys & Emotion'
const picturesPerTheme = 24
/** A picture of the first theme that the prior model does not see, by the beginning of its name. */
const unseen = '010-'

export interface World {
  readonly folder: string
  /** What the prior model is trained on. */
  readonly known: readonly Theme[]
  /** What it is not trained on: pictures to fine-tune it with. */
  readonly other: Theme
  /** Holds one picture that the prior model has not seen. */
  readonly targetFolder: string
  readonly target: DecodedImage
}

export interface Theme {
  readonly folder: string
  readonly metadataFile: string
  readonly captions: readonly string[]
}

/** Makes all pictures anew. The same pictures every time. */
export async function makeWorld(folder: string): Promise<World> {
  const targetFolder = join(folder, 'target')
  await mkdir(targetFolder, { recursive: true })
  const known: Theme[] = []
  for (const [index, theme] of knownThemes.entries())
    known.push(await makeTheme(join(folder, 'known', String(index)), theme, index === 0 ? targetFolder : null))
  const name = (await pictureNames(targetFolder))[0]!
  return {
    folder,
    known,
    other: await makeTheme(join(folder, 'other'), otherTheme, null),
    targetFolder,
    target: await decodeImage(join(targetFolder, name)),
  }
}

async function makeTheme(folder: string, theme: string, takeTo: string | null): Promise<Theme> {
  const { imageFolder, captions } = await makeDemoData(folder, { theme, size: pictureSize, count: picturesPerTheme })
  const taken = takeTo === null ? [] : (await readdir(imageFolder)).filter((name) => name.startsWith(unseen))
  for (const name of taken) await rename(join(imageFolder, name), join(takeTo!, name))
  const metadataFile = join(folder, 'metadata.json')
  await mergeTexts('caption', imageFolder, metadataFile, { fullPath: true, extension: '.txt' })
  const kept = captions.filter((_, index) => taken.length === 0 || index !== Number.parseInt(unseen, 10))
  return { folder: imageFolder, metadataFile, captions: kept }
}

async function pictureNames(folder: string): Promise<string[]> {
  return (await readdir(folder)).filter((name) => name.endsWith('.png')).sort()
}

/** All pictures of some themes. */
export async function picturesOf(themes: readonly Theme[]): Promise<DecodedImage[]> {
  const pictures: DecodedImage[] = []
  for (const { folder } of themes)
    for (const name of await pictureNames(folder)) pictures.push(await decodeImage(join(folder, name)))
  return pictures
}

/** Themes as fine-tuning takes them. */
export async function themeSource(themes: readonly Theme[], batchSize: number): Promise<DatasetSource> {
  const subsets = themes.map(({ metadataFile }) => ({ metadata_file: metadataFile }))
  const datasets = [{ resolution: pictureSize, batch_size: batchSize, subsets }]
  return { config: await resolveDatasetConfig({ datasets }) }
}

/**
 * The target with a word, as DreamBooth and networks take it.
 * @param regularization folder of captioned pictures to remember; null: none
 */
export async function subjectSource(
  { targetFolder }: World,
  caption: string,
  regularization: { readonly folder: string; readonly count: number } | null,
): Promise<DatasetSource> {
  const repeats = regularization?.count ?? 16
  const subject = { image_dir: targetFolder, class_tokens: caption, caption_extension: '.none', num_repeats: repeats }
  const remembered = { image_dir: regularization?.folder ?? '', caption_extension: '.txt', is_reg: true }
  const subsets = regularization === null ? [subject] : [subject, remembered]
  // Pictures to be remembered come beside those of the subject, so that a step sees as many of the subject either way.
  const datasets = [{ resolution: pictureSize, batch_size: regularization === null ? 4 : 8, subsets }]
  return { config: await resolveDatasetConfig({ datasets }) }
}
