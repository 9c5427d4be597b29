/** What each method of the demo is asked to do with the miniature, and what came of it. */
import { join } from 'node:path'
import { loadStableDiffusion } from '../../lib/checkpoints/loadStableDiffusion.ts'
import { shippedModelName } from '../../lib/checkpoints/shippedModel.ts'
import { decodeImage } from '../../lib/data/image.ts'
import { prepareDemo } from '../../lib/demo/demo.ts'
import { withArticle } from '../../lib/demo/emoji.ts'
import { type DemoMethodName, demoMethods } from '../../lib/demo/methods.ts'
import { loadClipTokenizer } from '../../lib/models/clip/tokenizer.ts'
import type { RgbImage } from '../../lib/preview/png.ts'
import type { PreviewSource } from '../../lib/train/method.ts'
import { copyOf, drawAll, meanDistance } from './drawings.ts'
import { runTraining } from './runTraining.ts'

/** Names of pictures that the miniature knows, which are watched for drift. None is among those that are trained on beside the new one. */
const watched = ['red apple', 'owl', 'hot dog', 'crescent moon', 'blue heart', 'bicycle', 'grinning face', 'cactus']
const watchedPrompts = watched.map((name) => `a 3d emoji of ${withArticle(name)}`)
/** Of the drawings of the new word; watched prompts are drawn with the first. */
const allSeeds = [11, 12, 13, 14] as const

/** A measure that must fall: the value after is at most `limit` times that before. */
export interface Row {
  readonly name: string
  readonly measure: string
  readonly before: number
  readonly after: number
  readonly limit: number
}

export interface LessonResult {
  readonly rows: readonly Row[]
  /** Rows of pictures, for the eye. */
  readonly drawings: readonly (readonly RgbImage[])[]
}

export interface BindLesson {
  readonly method: Exclude<DemoMethodName, 'fine-tune'>
  /** Default: those of the demo. */
  readonly steps?: number
  /** How many seeds of the word, and how many of the watched prompts, are drawn at most. Default: all. */
  readonly drawn?: number
  readonly limits: {
    /** Distance of what the word draws from the picture, as a share of the distance before: at most this. */
    readonly distance: number
    /** Drift of what other prompts draw, with regularization pictures as a share of that without; null: nothing else may change by a bit. */
    readonly drift: number | null
  }
}

interface Drawings {
  readonly word: readonly RgbImage[]
  readonly watched: readonly RgbImage[]
}

/** Binds a word to a picture that the miniature has never seen; with `limits.drift` with and without regularization pictures. */
export async function bindWord(
  { method, steps, drawn: most, limits }: BindLesson,
  folder: string,
): Promise<LessonResult> {
  const seeds = allSeeds.slice(0, most)
  const word = `a 3d emoji of a ${demoMethods[method].word}`
  const draw = async (source: PreviewSource): Promise<Drawings> => ({
    word: await drawAll(source, [word], seeds),
    watched: await drawAll(source, watchedPrompts.slice(0, most), [allSeeds[0]]),
  })
  const learn = async (remember: boolean | undefined): Promise<Drawings> => {
    const name = `${method}${remember === undefined ? '' : remember ? '-remembering' : '-alone'}`
    const plan = await prepareDemo(join(folder, name), { method, steps, remember })
    const trained = await runTraining(plan, [], name)
    const drawn = await draw(trained)
    trained.dispose()
    return drawn
  }
  const { prompts } = await prepareDemo(join(folder, 'start'), { method })
  const { models } = await loadStableDiffusion(shippedModelName)
  const before = await draw({ models, tokenizer: await loadClipTokenizer(), close: () => {} })
  const target = await copyOf(models.vae, await decodeImage(prompts[0]!.example!))
  models.dispose()

  const targets = seeds.map(() => target)
  const rows: Row[] = []
  const drawings = [[target], before.word, before.watched]
  const drifts: number[] = []
  for (const remember of limits.drift === null ? [undefined] : [false, true]) {
    const after = await learn(remember)
    drawings.push(after.word, after.watched)
    drifts.push(meanDistance(after.watched, before.watched))
    rows.push({
      name: remember === undefined ? method : `${method} ${remember ? 'with' : 'without'} regularization`,
      measure: 'distance of what the word draws from the picture',
      before: meanDistance(before.word, targets),
      after: meanDistance(after.word, targets),
      limit: limits.distance,
    })
  }
  if (limits.drift === null)
    rows.push({ name: method, measure: 'drift of other prompts', before: 1, after: drifts[0]!, limit: 0 })
  else {
    const measure = 'drift of other prompts, with regularization'
    rows.push({ name: method, measure, before: drifts[0]!, after: drifts[1]!, limit: limits.drift })
  }
  return { rows, drawings }
}

/** Teaches flags by their names: the loss on flags that are held out must fall. */
export async function fineTuneFlags(
  { steps, limit }: { readonly steps?: number; readonly limit: number },
  folder: string,
): Promise<LessonResult> {
  const heldOutLoss = async (name: string, count: number | undefined, more: readonly string[]): Promise<number> => {
    const plan = await prepareDemo(join(folder, name), { method: 'fine-tune', steps: count })
    const every = String(count ?? demoMethods['fine-tune'].steps)
    const options = ['--validation_split', '0.25', '--validate_every_n_steps', every, ...more]
    const trained = await runTraining(plan, options, name)
    trained.dispose()
    return trained.validationLosses.at(-1)!
  }
  // Losses are measured after steps: one that changes nothing that could be seen stands for none.
  const before = await heldOutLoss('fine-tune-start', 1, ['--learning_rate', '1e-9'])
  const after = await heldOutLoss('fine-tune', steps, [])
  return { rows: [{ name: 'fine-tune', measure: 'loss on held-out flags', before, after, limit }], drawings: [] }
}
