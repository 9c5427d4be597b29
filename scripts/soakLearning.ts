/**
 * Trainings teach: a tiny model is trained on the demo's pictures, and then every kind of training has to do its job on it, by stated
 * margins. `node scripts/soak.mjs learning [minutes]` compiles and runs it; the minutes are those that the tiny model is trained
 * for on an idle core, and what it makes is kept in `out/learning` for the next run. One run each, always the same.
 */
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { loadStableDiffusion } from '../lib/checkpoints/loadStableDiffusion.ts'
import { loadClipTokenizer } from '../lib/models/clip/tokenizer.ts'
import { writePng } from '../lib/preview/png.ts'
import { setThreadCount } from '../lib/tensor/runtime.ts'
import { contactSheet } from './learning/drawings.ts'
import { learners } from './learning/learners.ts'
import { Lessons } from './learning/lessons.ts'
import { makePrior } from './learning/prior.ts'
import { makeWorld } from './learning/world.ts'

const minutes = Number(process.argv[2] ?? 20)
if (!(minutes > 0)) throw new Error(`expected minutes, a number above 0, found "${process.argv[2]}"`)
/** In a minute of an idle core, half of which goes to the autoencoder. */
const stepsPerMinute = { vae: 100, model: 150 } as const

// Operations of these sizes are so short that a second thread mostly waits. The results do not depend on it.
setThreadCount(1)
/** Beside the folder that this program was compiled into. */
const folder = fileURLToPath(new URL('../learning', import.meta.url))
const world = await makeWorld(join(folder, 'pictures'))
const model = await makePrior(world, folder, {
  vae: Math.round(minutes * stepsPerMinute.vae),
  model: Math.round(minutes * stepsPerMinute.model),
})
const { models } = await loadStableDiffusion(model)
const prior = { models, tokenizer: await loadClipTokenizer(), close: () => models.dispose() }
const lessons = await Lessons.open(prior, { world, model, folder })
prior.close()
await lessons.fineTune()
for (const learner of learners) await lessons.bind(learner)
const sheet = join(folder, 'drawings.png')
await writePng(sheet, contactSheet(lessons.drawings))

const columns = [36, 52, 8, 8, 8, 8] as const
const print = (...cells: readonly string[]): void =>
  console.log(cells.map((cell, i) => (i < 2 ? cell.padEnd(columns[i]!) : cell.padStart(columns[i]!))).join(''))
print('what', 'measure', 'before', 'after', 'share', 'limit')
for (const { name, measure, before, after, limit } of lessons.rows)
  print(name, measure, before.toFixed(4), after.toFixed(4), (after / before).toFixed(3), String(limit))
const missed = lessons.rows.filter(({ before, after, limit }) => !(after <= limit * before))
console.log(`what was drawn is in ${sheet}`)
console.log(
  missed.length === 0
    ? 'every kind of training teaches'
    : `FAILED: ${missed.map(({ name, measure }) => `${name} (${measure})`).join(', ')}`,
)
process.exitCode = missed.length === 0 ? 0 : 1
