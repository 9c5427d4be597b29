/**
 * How long a training holds up Node's event loop: `npm run bench -- event-loop [steps]`. Each row is the best of three runs, by its 99th
 * percentile: other programs can only add to it.
 */
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { setTimeout } from 'node:timers/promises'
import { startTinyTraining } from '../scripts/tinyTraining.ts'

/** Milliseconds between looks; the monitor's figures include it. */
const resolution = 5
const steps = Number(process.argv[2] ?? 40)

interface Delay {
  readonly median: number
  readonly p99: number
  readonly longest: number
}

async function measure(work: () => Promise<unknown>): Promise<Delay> {
  const delay = monitorEventLoopDelay({ resolution })
  delay.enable()
  await work()
  delay.disable()
  return { median: delay.percentile(50) / 1e6, p99: delay.percentile(99) / 1e6, longest: delay.max / 1e6 }
}

async function best(work: () => Promise<unknown>): Promise<Delay> {
  const runs = [await measure(work), await measure(work), await measure(work)]
  return runs.reduce((a, b) => (b.p99 < a.p99 ? b : a))
}

function show(name: string, { median, p99, longest }: Delay): void {
  const cells = [median, p99, longest].map((value) => value.toFixed(1).padStart(9))
  console.log(`${name.padEnd(44)}${cells.join('')}`)
}

console.log(`${'delay of the event loop, ms'.padEnd(44)}${['median', 'p99', 'max'].map((s) => s.padStart(9)).join('')}`)
show('at rest', await best(() => setTimeout(1000)))
for (const inTurns of [false, true]) {
  const training = await startTinyTraining({ inTurns })
  for (let step = 0; step < 5; step++) await training.step() // compiled by then
  const work = async (): Promise<void> => {
    for (let step = 0; step < steps; step++) await training.step()
  }
  show(inTurns ? 'tiny training, as the trainer enqueues it' : 'tiny training, a step in one turn', await best(work))
  await training.dispose()
}
