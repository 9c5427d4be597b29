import { readOutputConfig } from '../config/outputConfig.ts'
import { atomicWrite } from '../io/atomicWrite.ts'
import { parseTrainNetwork } from '../train/trainNetworkOptions.ts'
import { exitCodes } from '../util/errors.ts'
import type { CliHost } from './host.ts'
import { showTraining, type Train } from './showTraining.ts'

export interface TrainNetworkCommandOptions {
  /** Default: the trainer. */
  readonly train?: Train | undefined
}

/**
 * `noisewright train-network`.
 *
 * @param args what follows the command's name
 * @returns the exit code
 * @throws ConfigError for wrong options, and what the training throws
 */
export async function trainNetworkCommand(
  args: readonly string[],
  host: CliHost,
  options: TrainNetworkCommandOptions = {},
): Promise<number> {
  const written = await readOutputConfig(args)
  if (written !== undefined) {
    await atomicWrite(written.file, written.text)
    host.stdout.write(`saved ${written.file}\n`)
    return exitCodes.ok
  }
  const { config, notes, debugDataset } = await parseTrainNetwork(args)
  for (const note of notes) host.stderr.write(`note: ${note}\n`)
  if (debugDataset !== null) {
    const { showDataset } = await import('./debugDataset.ts')
    return showDataset(config, debugDataset, host)
  }
  return showTraining(config, host, options)
}
