import { readOutputConfig } from '../config/outputConfig.ts'
import type { TrainerName } from '../config/trainOptions.ts'
import { atomicWrite } from '../io/atomicWrite.ts'
import { parseTraining } from '../train/options/parseTraining.ts'
import { trainings } from '../train/trainings.ts'
import { exitCodes } from '../util/errors.ts'
import type { CliHost } from './host.ts'
import { Messages } from './messages.ts'
import { showTraining, type Train } from './showTraining.ts'

export interface TrainCommandOptions {
  /** Default: the trainer. */
  readonly train?: Train | undefined
}

/**
 * `noisewright train-network` and the commands of the other trainings.
 *
 * @param trainer the command's name
 * @param args what follows it
 * @returns the exit code
 * @throws ConfigError for wrong options, and what the training throws
 */
export async function trainCommand<Name extends TrainerName>(
  trainer: Name,
  args: readonly string[],
  host: CliHost,
  options: TrainCommandOptions = {},
): Promise<number> {
  const written = await readOutputConfig(args, trainer)
  if (written !== undefined) {
    await atomicWrite(written.file, written.text)
    host.stdout.write(`saved ${written.file}\n`)
    return exitCodes.ok
  }
  const { config, notes, debugDataset, dashboardPort, messages: how } = await parseTraining(trainer, args)
  const messages = await Messages.open(host, how)
  try {
    for (const note of notes) messages.write('note', [`note: ${note}`])
    if (debugDataset !== null) {
      const { showDataset } = await import('./debugDataset.ts')
      return await showDataset(config, { ...debugDataset, accepts: trainings[trainer].accepts }, host)
    }
    return await showTraining(trainings[trainer], config, host, { ...options, dashboardPort, messages })
  } finally {
    await messages.close()
  }
}
