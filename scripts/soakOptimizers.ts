/**
 * Every optimizer learns: two hundred steps of the tiny training bring its loss down by a stated share. One run each, always the same.
 * `node scripts/soak.mjs optimizers [names]` compiles and runs it.
 */
import { createOptimizer } from '../lib/optim/index.ts'
import { optimizerTable } from '../lib/optim/optimizerTable.ts'
import { startTinyTraining } from './tinyTraining.ts'

const steps = 200
/** Losses of different timesteps and noise differ: means over this many steps are compared. */
const window = 20

/** Learning rates that suit this training, by name; others get 1e-3. */
const rates: Readonly<Record<string, number>> = {
  Lion: 1e-3,
  Lion8bit: 1e-3,
  PagedLion8bit: 1e-3,
  SGD: 1,
  SGDNesterov: 0.1,
  SGDNesterov8bit: 0.1,
  ASGD: 1,
  Adadelta: 1,
  Adagrad: 1e-2,
  Rprop: 1e-3,
  SGDScheduleFree: 1,
  Muon: 2e-3,
  CAME: 1e-4,
  RAdamScheduleFree: 5e-3,
}
/** The share of the first losses that the last ones must stay below. Methods that first search for their step size learn later. */
const limits = { given: 0.9, relative: 0.9, scheduleFree: 0.9, estimated: 0.97 } as const

const asked = process.argv.slice(2).map((name) => name.toLowerCase())
const failed: string[] = []
console.log(`${'optimizer'.padEnd(20)}${['rate', 'first', 'last', 'limit'].map((word) => word.padStart(10)).join('')}`)
for (const { name, rates: kind, arguments: known } of optimizerTable) {
  if (asked.length > 0 && !asked.includes(name.toLowerCase())) continue
  const learningRate = rates[name] ?? (kind === 'estimated' ? 1 : 1e-3)
  const settings = {
    ...(kind === 'relative' ? { relative_step: false, scale_parameter: false } : {}),
    // The tensors are so small that their states would be float32.
    ...(known.some((argument) => argument.name === 'min_8bit_size') ? { min_8bit_size: 0 } : {}),
  }
  const training = await startTinyTraining({
    makeOptimizer: (params) => createOptimizer(name, [{ name: 'unet', params, learningRate }], settings),
  })
  const losses: number[] = []
  for (let step = 0; step < steps; step++) losses.push(await training.step())
  await training.dispose()
  const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length
  const [first, last] = [mean(losses.slice(0, window)), mean(losses.slice(-window))]
  const limit = limits[kind]
  if (!(last < limit * first)) failed.push(name)
  console.log(
    name.padEnd(20) +
      [learningRate, first, last, limit * first].map((value) => value.toPrecision(4).padStart(10)).join(''),
  )
}
console.log(failed.length === 0 ? 'all of them learn' : `FAILED: ${failed.join(', ')}`)
process.exitCode = failed.length === 0 ? 0 : 1
