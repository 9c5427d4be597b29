import type { TrainerName } from '../config/trainOptions.ts'
import { parseTraining } from '../train/options/parseTraining.ts'
import { trainings } from '../train/trainings.ts'
import { verifyResume } from '../train/verifyResume.ts'
import { exitCodes } from '../util/errors.ts'
import { formatCount } from './format.ts'
import type { CliHost } from './host.ts'
import { listenForInterrupts } from './interrupts.ts'

/** Names of tensors that are shown. */
const namedTensors = 10

/**
 * `noisewright verify-resume`: whether a training of these options ends with the same bits when it is stopped half-way.
 *
 * @param trainer whose options they are
 * @param args options of the training
 * @returns the exit code: ok, that of a fault of noisewright itself, or interrupted
 */
export async function verifyResumeCommand<Name extends TrainerName>(
  trainer: Name,
  args: readonly string[],
  { steps }: { readonly steps?: number | undefined },
  host: CliHost,
): Promise<number> {
  const { config } = await parseTraining(trainer, args)
  const interrupts = listenForInterrupts(host, {
    onFirst: () => host.stderr.write('stopping after the step under way; interrupt again to end at once\n'),
    onSecond: () => {},
  })
  const work = verifyResume(trainings[trainer], config, {
    ...(steps === undefined ? {} : { steps }),
    signal: interrupts.signal,
    onEvent: (event) => {
      if (event.type === 'step') host.stderr.write(`step ${event.step} of ${event.totalSteps}: loss ${event.loss}\n`)
    },
  })
  const report = await work
    .catch((error: unknown) => {
      if (error !== interrupts.signal.reason) throw error
      return null
    })
    .finally(() => interrupts.stop())
  if (report === null) return exitCodes.interrupted
  const { differing, from, tensors } = report
  const runs = `${formatCount(report.steps, 'step')} at once, and in two runs with a state after step ${from}`
  if (differing.length === 0) {
    host.stdout.write(`the same bits in all ${tensors} tensors: ${runs}\n`)
    return exitCodes.ok
  }
  const names = differing.slice(0, namedTensors).map((name) => `  ${name}\n`)
  host.stdout.write(`${differing.length} of ${tensors} tensors differ: ${runs}\n${names.join('')}`)
  return exitCodes.unexpected
}
