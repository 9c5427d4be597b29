import { expect } from 'vitest'
import { type DatasetGroupConfig, parseDatasetConfig, type ResolveOptions } from '../../lib/config/datasetConfig.ts'
import { ConfigError } from '../../lib/util/errors.ts'

/** Resolves the text of a TOML file `data.toml`. */
export function toml(source: string, options: ResolveOptions = {}): Promise<DatasetGroupConfig> {
  return parseDatasetConfig(source, 'toml', { file: 'data.toml', ...options })
}

/** The ConfigError that a configuration ends with. */
export async function configFailure(run: Promise<unknown>): Promise<ConfigError> {
  const error = await run.then(
    () => undefined,
    (reason: unknown) => reason,
  )
  expect(error).toBeInstanceOf(ConfigError)
  return error as ConfigError
}

/** The lines of the message that the text of `data.toml` ends with. */
export async function tomlProblems(source: string, options: ResolveOptions = {}): Promise<readonly string[]> {
  return (await configFailure(toml(source, options))).message.split('\n')
}
