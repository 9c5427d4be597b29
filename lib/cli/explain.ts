import { datasetJsonSchema } from '../config/datasetJsonSchema.ts'
import { explainOption, listOptions } from '../config/explain.ts'
import { exitCodes } from '../util/errors.ts'
import type { CliHost } from './host.ts'

/**
 * `noisewright explain`: what an option means, its values, defaults, levels and rules; without a name, what options there are.
 *
 * @returns the exit code
 * @throws ConfigError when there is no such option
 */
export function explainCommand(name: string | undefined, host: CliHost): number {
  const width = Math.min(120, host.stdout.columns ?? 100)
  host.stdout.write(`${name === undefined ? listOptions(width) : explainOption(name, width)}\n`)
  return exitCodes.ok
}

/** `noisewright schema`: prints the JSON Schema of dataset files. Returns the exit code. */
export function schemaCommand(host: CliHost): number {
  host.stdout.write(`${JSON.stringify(datasetJsonSchema(), null, 2)}\n`)
  return exitCodes.ok
}
