/** `--output_config`: the options of a command line, written down as a configuration file. */
import { stat } from 'node:fs/promises'
import { ConfigError } from '../util/errors.ts'
import { trainConfigPath } from './trainConfigFile.ts'
import { readTrainArguments, type TrainerName, trainOptionsOf } from './trainOptions.ts'

/** A configuration file that is not written yet. */
export interface OutputConfig {
  readonly file: string
  /** TOML: the options that differ from their defaults. */
  readonly text: string
}

/**
 * What `--output_config` asks to be written; undefined when it was not given. Single values are checked, rules between options
 * are not, since the file may be meant to be completed. Secrets are left out.
 *
 * @throws ConfigError for wrong values, without `--config_file`, and when the file exists
 */
export async function readOutputConfig(
  args: readonly string[],
  trainer: TrainerName,
): Promise<OutputConfig | undefined> {
  const { given, problems } = readTrainArguments(args, trainer)
  const { output_config, config_file, ...values } = given
  if (!output_config) return undefined
  if (config_file === undefined)
    throw new ConfigError([...problems, '--output_config needs --config_file, the file to be written'].join('\n'))
  if (problems.length > 0) throw new ConfigError(problems.join('\n'))
  const file = trainConfigPath(config_file)
  const exists = await stat(file).then(
    () => true,
    () => false,
  )
  if (exists) throw new ConfigError('--output_config does not replace a file that exists: remove it first', { file })
  const { stringify } = await import('smol-toml')
  const entries = [...trainOptionsOf(trainer).values()].flatMap((option) => {
    const value = values[option.name as keyof typeof values] as unknown
    return value === undefined || value === option.default || option.secret
      ? []
      : [[option.name, fileValue(value)] as const]
  })
  return { file, text: `${stringify(Object.fromEntries(entries)).trimEnd()}\n` }
}

/** As sd-scripts' own files have it: sizes and ranges as one text, shares as numbers. */
function fileValue(value: unknown): unknown {
  if (typeof value === 'object' && value !== null && 'share' in value) return value.share
  return Array.isArray(value) && typeof value[0] === 'number' ? value.join(',') : value
}
