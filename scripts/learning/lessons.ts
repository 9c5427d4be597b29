/** What each kind of training is asked to do, and what came of it. */
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { atomicWrite } from '../../lib/io/atomicWrite.ts'
import { type RgbImage, writePng } from '../../lib/preview/png.ts'
import type { PreviewSource } from '../../lib/train/method.ts'
import { fineTuning } from '../../lib/train/methods/fineTune.ts'
import { copyAll, distance, drawAll, meanDistance } from './drawings.ts'
import type { Learner } from './learners.ts'
import { baseConfig, runTraining } from './trainings.ts'
import { picturesOf, subjectSource, themeSource, type World } from './world.ts'

const subject = 'a 3d emoji of a sks'
/** Of the drawings of the subject; other captions are drawn with the first. */
const seeds = [11, 12, 13, 14] as const
const regularizationSeed = 99
/** So many captions are watched for drift, and their pictures are the ones for regularization. */
const watchedCaptions = 16

/** A measure that must fall: the value after is at most `limit` times that before. */
export interface Row {
  readonly name: string
  readonly measure: string
  readonly before: number
  readonly after: number
  readonly limit: number
}

interface Start {
  readonly world: World
  /** Folder of the prior model. */
  readonly model: string
  readonly folder: string
}

interface Drawings {
  readonly subject: readonly RgbImage[]
  readonly watched: readonly RgbImage[]
}

export class Lessons {
  readonly rows: Row[] = []
  /** Rows of pictures, for the eye. */
  readonly drawings: (readonly RgbImage[])[] = []
  readonly #start: Start
  readonly #captions: readonly string[]
  /** As the autoencoder gives it back: what the U-Net could draw at best. */
  readonly #target: RgbImage
  readonly #before: Drawings
  readonly #regularization: { readonly folder: string; readonly count: number }

  private constructor(
    start: Start,
    parts: {
      readonly captions: readonly string[]
      readonly target: RgbImage
      readonly before: Drawings
      readonly regularization: { readonly folder: string; readonly count: number }
    },
  ) {
    this.#start = start
    this.#captions = parts.captions
    this.#target = parts.target
    this.#before = parts.before
    this.#regularization = parts.regularization
  }

  /** Looks at what the prior model knows. */
  static async open(prior: PreviewSource, start: Start): Promise<Lessons> {
    const { world, folder } = start
    const all = world.known.flatMap(({ captions }) => captions)
    const pictures = await picturesOf(world.known)
    const copies = await copyAll(prior.models, pictures)
    const watched = Array.from({ length: watchedCaptions }, (_, i) =>
      Math.floor(((i + 0.5) * all.length) / watchedCaptions),
    )
    const captions = watched.map((index) => all[index]!)
    const [target] = await copyAll(prior.models, [world.target])
    const before = await draw(prior, captions)
    const regularization = join(folder, 'pictures', 'regularization')
    await mkdir(regularization, { recursive: true })
    for (const [index, picture] of (await drawAll(prior, captions, [regularizationSeed])).entries()) {
      await writePng(join(regularization, `${index}.png`), picture)
      await atomicWrite(join(regularization, `${index}.txt`), captions[index]!)
    }
    const lessons = new Lessons(start, {
      captions,
      target: target!,
      before,
      regularization: { folder: regularization, count: captions.length },
    })
    lessons.#addPrior(pictures, copies, watched)
    return lessons
  }

  #addPrior(pictures: readonly RgbImage[], copies: readonly RgbImage[], watched: readonly number[]): void {
    const toOthers = (picture: RgbImage): number =>
      copies.reduce((sum, other) => sum + distance(picture, other), 0) / copies.length
    const meanToOthers = (list: readonly RgbImage[]): number =>
      list.reduce((sum, picture) => sum + toOthers(picture), 0) / list.length
    const measure = 'from any picture, from its own'
    const own = watched.map((index) => copies[index]!)
    const drawn = this.#before.watched
    this.rows.push(
      {
        name: 'autoencoder',
        measure: `distance ${measure}`,
        before: meanToOthers(pictures),
        after: meanDistance(pictures, copies),
        limit: 0.7,
      },
      {
        name: 'prior model',
        measure: `distance of drawings ${measure}`,
        before: meanToOthers(drawn),
        after: meanDistance(drawn, own),
        limit: 0.8,
      },
    )
    const shown = watched.map((index) => pictures[index]!)
    this.drawings.push([this.#start.world.target, this.#target], shown, own, drawn, this.#before.subject)
  }

  /** Pictures of a new theme: the loss on those held out must fall. */
  async fineTune(): Promise<void> {
    const { world, model, folder } = this.#start
    const source = await themeSource([world.other], 8)
    const heldOutLoss = async (steps: number, learningRate: number): Promise<number> => {
      const config = baseConfig({ model, folder, name: 'fine-tune', steps, learningRate })
      const options = { trainTextEncoder: true, textEncoderLearningRate: null }
      const validation = { split: 0.25, everySteps: steps }
      const whole = { ...config, data: { ...config.data, source }, validation, fineTune: options }
      const trained = await runTraining(fineTuning, whole, 'fine-tune')
      trained.dispose()
      return trained.validationLosses.at(-1)!
    }
    // Losses are measured after steps: one that changes nothing that could be seen stands for none.
    const before = await heldOutLoss(1, 1e-9)
    const after = await heldOutLoss(100, 5e-4)
    this.rows.push({ name: 'fine-tune', measure: 'loss on held-out pictures', before, after, limit: 0.95 })
  }

  /** Binds a word to a picture, without and with regularization pictures. */
  async bind({ name, steps, learningRate, limits, train }: Learner): Promise<void> {
    const { world, model, folder } = this.#start
    const drifts: number[] = []
    for (const regularization of [null, this.#regularization]) {
      const title = regularization === null ? name : `${name} with regularization`
      const config = baseConfig({ model, folder, name: title.replaceAll(' ', '-'), steps, learningRate })
      const source = await subjectSource(world, subject, regularization)
      const trained = await train({ ...config, data: { ...config.data, source } }, title)
      const drawn = await draw(trained, this.#captions)
      trained.dispose()
      this.drawings.push(drawn.subject, drawn.watched)
      this.rows.push({
        name: title,
        measure: 'distance of what the word draws from the picture',
        before: this.#toTarget(this.#before.subject),
        after: this.#toTarget(drawn.subject),
        limit: limits.distance,
      })
      drifts.push(meanDistance(drawn.watched, this.#before.watched))
    }
    const measure = 'drift of other captions, with regularization'
    this.rows.push({ name, measure, before: drifts[0]!, after: drifts[1]!, limit: limits.drift })
  }

  #toTarget(drawn: readonly RgbImage[]): number {
    return drawn.reduce((sum, picture) => sum + distance(picture, this.#target), 0) / drawn.length
  }
}

async function draw(source: PreviewSource, captions: readonly string[]): Promise<Drawings> {
  return { subject: await drawAll(source, [subject], seeds), watched: await drawAll(source, captions, [seeds[0]]) }
}
