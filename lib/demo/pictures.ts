import { mkdir, readdir, rm } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { atomicWrite } from '../io/atomicWrite.ts'
import { toIoError } from '../io/systemError.ts'
import { ArgumentError } from '../util/errors.ts'
import { didYouMean } from '../util/nearest.ts'
import { drawOnWhite, type Emoji, findEmoji, slug, withArticle } from './emoji.ts'

export interface DemoDataOptions {
  /** How many pictures; fewer when the theme has fewer. Default: 24. */
  readonly count?: number
  /** Width and height in pixels: of the pictures, and the resolution of the data set. Default: 256. */
  readonly size?: number
  /** Default: 4. */
  readonly batchSize?: number
  /** A group of emoji by its Unicode name. Default: `'Animals & Nature'`. */
  readonly theme?: string
}

export interface DemoData {
  /** Holds the pictures, `000-monkey-face.png`, each with its caption in a `.txt` of the same name. */
  readonly imageFolder: string
  /** A data set configuration that names that folder. */
  readonly datasetFile: string
  readonly promptFile: string
  readonly captions: readonly string[]
}

/** Names of the files written here: only such files are removed when the data is made again. */
const OWN_FILE = /^\d{3}-[a-z0-9-]+\.(png|txt)$/

/**
 * Makes a small captioned data set from the emoji pictures in the development dependencies @lobehub/fluent-emoji-3d (MIT)
 * and their names in unicode-emoji-json: `images/`, `dataset.toml` and `prompts.txt` in the given folder. Pictures are
 * laid on white. The same options give the same bytes.
 *
 * @throws DataError when the packages are not installed: this works in a checkout, not in a published package
 * @throws ArgumentError for a count, size or theme that cannot be had
 * @throws IoError when the files cannot be written
 */
export async function makeDemoData(folder: string, options: DemoDataOptions = {}): Promise<DemoData> {
  const { count = 24, size = 256, batchSize = 4, theme = 'Animals & Nature' } = options
  for (const [name, value] of Object.entries({ count, size, batchSize })) {
    if (!Number.isInteger(value) || value < 1) {
      throw new ArgumentError('makeDemoData', name, 'a whole number of 1 or more', String(value))
    }
  }
  const emojis = (await emojiOf(theme)).slice(0, count)
  const imageFolder = resolve(folder, 'images')
  await emptyFolder(imageFolder)
  const captions: string[] = []
  for (const [index, emoji] of emojis.entries()) {
    const caption = `a 3d emoji of ${withArticle(emoji.name)}`
    const stem = join(imageFolder, `${String(index).padStart(3, '0')}-${slug(emoji.name)}`)
    await atomicWrite(`${stem}.png`, await drawOnWhite(emoji.file, size))
    await atomicWrite(`${stem}.txt`, `${caption}\n`)
    captions.push(caption)
  }
  const datasetFile = resolve(folder, 'dataset.toml')
  const promptFile = resolve(folder, 'prompts.txt')
  await atomicWrite(datasetFile, datasetToml(imageFolder, size, batchSize))
  await atomicWrite(promptFile, promptLines(captions, size))
  return { imageFolder, datasetFile, promptFile, captions }
}

/** @throws ArgumentError when there is no such theme */
async function emojiOf(theme: string): Promise<Emoji[]> {
  const all = await findEmoji()
  const themes = new Set(all.map(({ group }) => group))
  if (!themes.has(theme)) {
    const hint = didYouMean(theme, themes)
    throw new ArgumentError('makeDemoData', 'theme', `one of ${[...themes].join(', ')}`, `"${theme}".${hint}`)
  }
  return all.filter(({ group }) => group === theme)
}

async function emptyFolder(folder: string): Promise<void> {
  try {
    await mkdir(folder, { recursive: true })
    const own = (await readdir(folder)).filter((name) => OWN_FILE.test(name))
    await Promise.all(own.map((name) => rm(join(folder, name))))
  } catch (error) {
    throw toIoError(folder, 'make the folder of demo pictures', error)
  }
}

function datasetToml(imageFolder: string, size: number, batchSize: number): string {
  // A JSON text is a TOML text as well.
  return `[general]
caption_extension = ".txt"

[[datasets]]
resolution = ${size}
batch_size = ${batchSize}

  [[datasets.subsets]]
  image_dir = ${JSON.stringify(imageFolder)}
  num_repeats = 1
`
}

/** Three captions from the data, one thing that is not in it. */
function promptLines(captions: readonly string[], size: number): string {
  const middle = Math.floor(captions.length / 2)
  const chosen = new Set([captions[0]!, captions[middle]!, captions.at(-1)!, 'a 3d emoji of a teapot'])
  const options = `--n blurry --w ${size} --h ${size} --s 12 --l 5`
  return Array.from(chosen, (prompt, index) => `${prompt} ${options} --d ${index + 1}\n`).join('')
}
