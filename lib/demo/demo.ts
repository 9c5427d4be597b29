/** Everything that a first training needs, on the model that comes with the package. */
import { mkdir } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { shippedModelName } from '../checkpoints/shippedModel.ts'
import type { TrainerName } from '../config/trainOptions.ts'
import { atomicWrite } from '../io/atomicWrite.ts'
import { drawOnWhite, type Emoji, findEmoji, slug, withArticle } from './emoji.ts'
import { type DemoMethod, type DemoMethodName, demoMethods, type OptionValue } from './methods.ts'

export interface DemoOptions {
  /** Default `'lora'`. */
  readonly method?: DemoMethodName | undefined
  /** Optimizer steps. Default: as many as the method needs. */
  readonly steps?: number | undefined
  /** Whether pictures that the model knows are trained on beside a new one. Default: as the method has it. */
  readonly remember?: boolean | undefined
  /** Of the training. Default 1. */
  readonly seed?: number | undefined
}

/** A training that is ready to run, and what to look at when it has. */
export interface DemoPlan {
  readonly trainer: TrainerName
  /** Its options: what `noisewright <trainer> --config_file` takes. */
  readonly configFile: string
  readonly prompts: readonly DemoPrompt[]
}

/** A prompt that is drawn before and after, once for each of `demoSeeds`, in that order. */
export interface DemoPrompt {
  readonly prompt: string
  /** The picture it should come to show; null: one that should stay as it is. */
  readonly example: string | null
}

export const demoSeeds = [11, 12, 13] as const
/** Width and height of all pictures in pixels. */
const size = 64
/** What the model has never seen. */
const unseenGroup = 'Flags'
const subjectName = 'flag Brazil'
/** The flags that fine-tuning teaches: of this many, some are shown. */
const flagCount = 48
const shownFlags = ['flag Brazil', 'flag Canada', 'flag Bulgaria'] as const
/** What the model can draw, and should still draw afterwards. */
const known = ['red apple', 'owl'] as const
const rememberedCount = 64

/**
 * Writes pictures, captions, prompts and the options of a training into a folder: `data/`, `prompts.txt`, `train.toml`.
 * @throws DataError when the packages the pictures come from are not installed; IoError when a file cannot be written
 */
export async function prepareDemo(folder: string, options: DemoOptions = {}): Promise<DemoPlan> {
  const { method: name = 'lora', seed = 1 } = options
  const { remember: remembers = demoMethods[name].remembers, steps = demoMethods[name].steps } = options
  const method = { ...demoMethods[name], remembers }
  const at = resolve(folder)
  const emoji = await findEmoji()
  const lesson = await (method.teaches === 'word' ? writeWord : writeFlags)(at, emoji, method)
  const prompts = [...lesson.prompts, ...known.map((each) => ({ prompt: captionOf(each), example: null }))]
  const promptFile = join(at, 'prompts.txt')
  await atomicWrite(
    promptFile,
    prompts.flatMap(({ prompt }) => demoSeeds.map((each) => promptLine(prompt, each))).join(''),
  )
  const configFile = join(at, 'train.toml')
  await writeToml(configFile, {
    pretrained_model_name_or_path: shippedModelName,
    ...lesson.data,
    ...method.options,
    max_train_steps: steps,
    seed,
    output_dir: at,
    output_name: name,
    logging_dir: join(at, 'log'),
    sample_prompts: promptFile,
    sample_at_first: true,
    sample_every_n_steps: steps,
  })
  return { trainer: method.trainer, configFile, prompts }
}

interface Lesson {
  /** Options that say where the data is. */
  readonly data: Readonly<Record<string, OptionValue>>
  readonly prompts: readonly DemoPrompt[]
}

/** One picture, by a word; beside it pictures that the model knows. */
async function writeWord(folder: string, emoji: readonly Emoji[], method: DemoMethod): Promise<Lesson> {
  const prompt = captionOf(method.word)
  const subject = emoji.find((each) => each.name === subjectName)!
  const subjectFolder = join(folder, 'data', 'subject')
  const example = await writePicture(subjectFolder, subject, prompt)
  const repeats = method.remembers ? rememberedCount : 2 * method.batchSize
  const subsets: object[] = [{ image_dir: subjectFolder, num_repeats: repeats }]
  if (method.remembers) {
    const regularization = join(folder, 'data', 'regularization')
    for (const each of remembered(emoji)) await writePicture(regularization, each, captionOf(each.name))
    subsets.push({ image_dir: regularization, is_reg: true })
  }
  const dataset = join(folder, 'data', 'dataset.toml')
  await writeToml(dataset, {
    datasets: [{ resolution: size, batch_size: method.batchSize, caption_extension: '.txt', subsets }],
  })
  return { data: { dataset_config: dataset }, prompts: [{ prompt, example }] }
}

/** Flags and their names, as fine-tuning takes them. */
async function writeFlags(folder: string, emoji: readonly Emoji[], method: DemoMethod): Promise<Lesson> {
  const flags = emoji.filter(({ group, name }) => group === unseenGroup && name.startsWith('flag '))
  const imageFolder = join(folder, 'data', 'pictures')
  const metadata: Record<string, { readonly caption: string }> = {}
  const examples = new Map<string, string>()
  for (const each of [...flags.slice(0, flagCount), ...(method.remembers ? remembered(emoji) : [])]) {
    const path = await writePicture(imageFolder, each, null)
    metadata[path] = { caption: captionOf(each.name) }
    examples.set(each.name, path)
  }
  const metadataFile = join(folder, 'data', 'metadata.json')
  await atomicWrite(metadataFile, JSON.stringify(metadata, null, 1))
  return {
    data: {
      in_json: metadataFile,
      train_data_dir: imageFolder,
      resolution: String(size),
      train_batch_size: method.batchSize,
    },
    prompts: shownFlags.map((name) => ({ prompt: captionOf(name), example: examples.get(name)! })),
  }
}

/** Some of what the model knows. */
function remembered(emoji: readonly Emoji[]): Emoji[] {
  const all = emoji.filter(({ group }) => group !== unseenGroup)
  return Array.from({ length: rememberedCount }, (_, i) => all[Math.floor(((i + 0.5) * all.length) / rememberedCount)]!)
}

/** @returns the PNG file */
async function writePicture(folder: string, { name, file }: Emoji, caption: string | null): Promise<string> {
  await mkdir(folder, { recursive: true })
  const stem = join(folder, slug(name))
  await atomicWrite(`${stem}.png`, await drawOnWhite(file, size))
  if (caption !== null) await atomicWrite(`${stem}.txt`, `${caption}\n`)
  return `${stem}.png`
}

function captionOf(name: string): string {
  return `a 3d emoji of ${withArticle(name)}`
}

function promptLine(prompt: string, seed: number): string {
  return `${prompt} --w ${size} --h ${size} --s 20 --l 2.5 --d ${seed}\n`
}

async function writeToml(path: string, values: Readonly<Record<string, unknown>>): Promise<void> {
  const { stringify } = await import('smol-toml')
  await atomicWrite(path, `${stringify(values).trimEnd()}\n`)
}
