/**
 * Trainings teach: a tiny model is trained on the demo's pictures, and then every kind of training has to do its job on it, by stated
 * margins. `node scripts/soak.mjs learning [minutes]` compiles and runs it; the minutes are those of the first training on two idle
 * cores, and what it makes is kept in `out/learning` for the next run. One run each, always the same.
 */
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { loadStableDiffusion } from '../lib/checkpoints/loadStableDiffusion.ts'
import { atomicWrite } from '../lib/io/atomicWrite.ts'
import { loadClipTokenizer } from '../lib/models/clip/tokenizer.ts'
import { type RgbImage, writePng } from '../lib/preview/png.ts'
import { setThreadCount } from '../lib/tensor/runtime.ts'
import type { PreviewSource } from '../lib/train/method.ts'
import { fineTuning } from '../lib/train/methods/fineTune.ts'
import { contactSheet, distance, drawAll, meanDistance } from './learning/drawings.ts'
import { type Learner, learners } from './learning/learners.ts'
import { makePrior } from './learning/prior.ts'
import { baseConfig, runTraining } from './learning/trainings.ts'
import { makeWorld, picturesOf, subjectSource, themeSource } from './learning/world.ts'

const minutes = Number(process.argv[2] ?? 20)
/** In a minute on two idle cores, a third of which goes to the autoencoder. */
const stepsPerMinute = { vae: 50, model: 150 } as const
const subject = 'a 3d emoji of a sks'
const seeds = [11, 12, 13, 14]
/** So many captions of the prior model are watched for drift, and their pictures are the ones to be remembered. */
const watchedCaptions = 16

// Operations of these sizes gain nothing from a second thread; the results do not depend on it.
setThreadCount(1)
/** Beside the folder that this program was compiled into. */
const folder = fileURLToPath(new URL('../learning', import.meta.url))
const world = await makeWorld(join(folder, 'pictures'))
const model = await makePrior(world, folder, {
  vae: Math.round(minutes * stepsPerMinute.vae),
  model: Math.round(minutes * stepsPerMinute.model),
})

const known = world.known.flatMap(({ captions }) => captions)
const knownPictures = await picturesOf(world.known)
const watched = Array.from({ length: watchedCaptions }, (_, i) =>
  Math.floor(((i + 0.5) * known.length) / watchedCaptions),
)
const captions = watched.map((index) => known[index]!)
const problems: string[] = []
const rows: string[][] = []

/** What a model draws for the subject and for the captions that are watched. */
async function look(source: PreviewSource): Promise<{ readonly subject: RgbImage[]; readonly watched: RgbImage[] }> {
  return { subject: await drawAll(source, [subject], seeds), watched: await drawAll(source, captions, [seeds[0]!]) }
}

const toTarget = (pictures: readonly RgbImage[]): number =>
  meanDistance(
    pictures,
    pictures.map(() => world.target),
  )

function check(name: string, what: string, value: number, limit: number): string[] {
  const met = value <= limit
  if (!met) problems.push(`${name}: ${what}`)
  return [name, what, value.toFixed(3), `at most ${limit}`, met ? 'met' : 'MISSED']
}

/** The prior model's own pictures of the watched captions, to be kept in mind while it learns something else. */
async function makeRemembered(prior: PreviewSource): Promise<{ readonly folder: string; readonly count: number }> {
  const remembered = join(folder, 'pictures', 'remembered')
  await mkdir(remembered, { recursive: true })
  for (const [index, picture] of (await drawAll(prior, captions, [99])).entries()) {
    await writePng(join(remembered, `${index}.png`), picture)
    await atomicWrite(join(remembered, `${index}.txt`), captions[index]!)
  }
  return { folder: remembered, count: captions.length }
}

async function checkPrior(drawn: readonly RgbImage[]): Promise<void> {
  const own = meanDistance(
    drawn,
    watched.map((index) => knownPictures[index]!),
  )
  const toAll = (picture: RgbImage): number =>
    knownPictures.reduce((sum, other) => sum + distance(picture, other), 0) / knownPictures.length
  const others = drawn.reduce((sum, picture) => sum + toAll(picture), 0) / drawn.length
  rows.push(
    check(
      'prior model',
      `distance to own picture ${own.toFixed(3)}, to others ${others.toFixed(3)}: share`,
      own / others,
      0.7,
    ),
  )
}

async function checkLearner(
  learner: Learner,
  before: Awaited<ReturnType<typeof look>>,
  remembered: Awaited<ReturnType<typeof makeRemembered>>,
): Promise<RgbImage[][]> {
  const { name, steps, learningRate, limits } = learner
  const results = []
  for (const regularization of [null, remembered]) {
    const title = `${name}${regularization === null ? '' : '-remembering'}`
    const config = baseConfig({ model, folder, name: title, steps, learningRate })
    const source = await subjectSource(world, subject, regularization)
    const trained = await learner.train({ ...config, data: { ...config.data, source } }, title)
    const seen = await look(trained)
    trained.dispose()
    results.push({ title, seen, distance: toTarget(seen.subject), drift: meanDistance(seen.watched, before.watched) })
  }
  const [plain, remembering] = results as [(typeof results)[0], (typeof results)[0]]
  const start = toTarget(before.subject)
  for (const { title, distance } of results)
    rows.push(
      check(
        title,
        `distance to the picture ${start.toFixed(3)}, then ${distance.toFixed(3)}: share`,
        distance / start,
        limits.distance,
      ),
    )
  const what = `drift of other captions ${plain.drift.toFixed(3)}, with regularization ${remembering.drift.toFixed(3)}: share`
  rows.push(check(name, what, remembering.drift / plain.drift, limits.drift))
  return results.flatMap(({ seen }) => [seen.subject, seen.watched])
}

async function checkFineTuning(): Promise<void> {
  const source = await themeSource([world.other], 8)
  const tune = async (steps: number, learningRate: number): Promise<number> => {
    const config = baseConfig({ model, folder, name: 'fine-tune', steps, learningRate })
    const options = { trainTextEncoder: true, textEncoderLearningRate: null }
    const validation = { split: 0.25, everySteps: steps }
    const whole = { ...config, data: { ...config.data, source }, validation, fineTune: options }
    const trained = await runTraining(fineTuning, whole, 'fine-tune')
    trained.dispose()
    return trained.validationLosses.at(-1)!
  }
  // Validation follows a step: one that changes nothing that could be measured stands for none.
  const [before, after] = [await tune(1, 1e-9), await tune(150, 3e-4)]
  rows.push(
    check('fine-tune', `held-out loss ${before.toFixed(4)}, then ${after.toFixed(4)}: share`, after / before, 0.95),
  )
}

const { models } = await loadStableDiffusion(model)
const prior = { models, tokenizer: await loadClipTokenizer(), close: () => models.dispose() }
const before = await look(prior)
await checkPrior(before.watched)
const remembered = await makeRemembered(prior)
prior.close()
await checkFineTuning()
const sheet = [[world.target], watched.map((index) => knownPictures[index]!), before.watched, before.subject]
for (const learner of learners) sheet.push(...(await checkLearner(learner, before, remembered)))
await writePng(join(folder, 'sheet.png'), contactSheet(sheet))

for (const cells of rows) console.log(cells.join('  '))
console.log(problems.length === 0 ? 'every kind of training teaches' : `FAILED: ${problems.join('; ')}`)
process.exitCode = problems.length === 0 ? 0 : 1
