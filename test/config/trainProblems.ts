import { expect } from 'vitest'
import { parseTraining } from '../../lib/train/options/parseTraining.ts'
import { ConfigError } from '../../lib/util/errors.ts'

/** What a training needs. */
export const needed = [
  '--pretrained_model_name_or_path',
  'model',
  '--dataset_config',
  'data.toml',
  '--output_dir',
  'out',
]

/** The lines of the message that options of train-network are refused with. */
export async function problemsOf(...args: readonly string[]): Promise<readonly string[]> {
  const error = await parseTraining('train-network', args).then(
    () => expect.fail('expected a ConfigError'),
    (thrown: unknown) => thrown,
  )
  expect(error).toBeInstanceOf(ConfigError)
  return (error as ConfigError).message.split('\n')
}
