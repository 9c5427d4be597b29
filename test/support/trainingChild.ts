/**
 * A process that trains until it is done or killed: `trainingChild <training> <threads> <options of the command line>`. It writes
 * `start` when everything is loaded, `step <n>` and `state <n>` as they are done, unbuffered.
 */
import { writeSync } from 'node:fs'
import { setThreadCount } from '../../lib/tensor/runtime.ts'
import { parseTraining } from '../../lib/train/options/parseTraining.ts'
import { train } from '../../lib/train/train.ts'
import { trainings } from '../../lib/train/trainings.ts'

const [name, threads, ...args] = process.argv.slice(2) as [keyof typeof trainings, string, ...string[]]

async function run<Name extends keyof typeof trainings>(trainer: Name): Promise<void> {
  const { config } = await parseTraining(trainer, args)
  for await (const event of train(trainings[trainer], config)) {
    if (event.type === 'start') writeSync(1, 'start\n')
    if (event.type === 'step' || event.type === 'state') writeSync(1, `${event.type} ${event.step}\n`)
  }
}

setThreadCount(Number(threads))
await run(name)
