import { describe, expect, it } from 'vitest'
import { parseDatasetConfig } from '../../lib/config/datasetConfig.ts'
import { ConfigError } from '../../lib/util/errors.ts'
import { loadOracle } from '../support/dataOracle.ts'

interface SettingFixture {
  readonly cases: readonly {
    readonly name: string
    readonly toml: string
    readonly supports: Readonly<Record<'dreamBooth' | 'fineTuning' | 'captionDropout', boolean>>
    readonly error?: string
  }[]
}

const { cases } = loadOracle<SettingFixture>('settings')
/** Ours alone: the other spelling in a file, options that came with later versions, whole numbers where parts are allowed. */
const accepted = ['the misspelt alias', 'both spellings', 'an option of captions that came later', 'ints as face range']
const refused = cases.filter(({ name, supports, error }) => {
  return error !== undefined && Object.values(supports).every((each) => each) && !accepted.includes(name)
})

describe('configurations against sd-scripts', () => {
  it.each(refused)('are refused alike: $name', async ({ toml }) => {
    await expect(parseDatasetConfig(toml, 'toml')).rejects.toThrow(ConfigError)
  })
})
