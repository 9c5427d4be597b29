import { parseTrainNetwork } from '../train/trainNetworkOptions.ts'
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
  const { config, notes } = await parseTrainNetwork(args)
  for (const note of notes) host.stderr.write(`note: ${note}\n`)
  return showTraining(config, host, options)
}
