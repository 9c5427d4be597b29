import fc from 'fast-check'
import { stringify } from 'smol-toml'
import { afterEach, describe, expect, it } from 'vitest'
import { parseDatasetConfig, resolveDatasetConfig } from '../../lib/config/datasetConfig.ts'
import { ConfigError } from '../../lib/util/errors.ts'
import { anyKey, anyTree, nearlyRight, prototypeKeys, right } from './anyDatasetFile.ts'
import { configFailure } from './configFailure.ts'

const document = fc.oneof(anyTree, nearlyRight, right)

/** Runs to its end or to a ConfigError; anything else is thrown on. */
async function settle(run: Promise<unknown>): Promise<'resolved' | string> {
  try {
    await run
    return 'resolved'
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    return error.message
  }
}

const properties = Object.getOwnPropertyNames(Object.prototype).sort()
afterEach(() => {
  expect(Object.getOwnPropertyNames(Object.prototype).sort()).toEqual(properties)
  expect(({} as Record<string, unknown>).shuffle_caption).toBeUndefined()
})

describe('any document', () => {
  it('of JSON is resolved or refused with a ConfigError', async () => {
    const outcomes = new Set<string>()
    await fc.assert(
      fc.asyncProperty(document, fc.boolean(), async (raw, cacheLatents) => {
        const source = JSON.stringify(raw, null, 1)
        const outcome = await settle(parseDatasetConfig(source, 'json', { cacheLatents, file: 'data.json' }))
        outcomes.add(outcome === 'resolved' ? outcome : 'refused')
      }),
      { numRuns: 400 },
    )
    expect([...outcomes].sort()).toEqual(['refused', 'resolved'])
  })

  it('of TOML too, with the same outcome as the same tables in JSON', async () => {
    await fc.assert(
      fc.asyncProperty(document, async (raw) => {
        fc.pre(typeof raw === 'object' && raw !== null && !Array.isArray(raw))
        const json = JSON.stringify(raw)
        let source: string
        try {
          source = stringify(JSON.parse(json))
        } catch {
          return
        }
        const fromToml = await settle(parseDatasetConfig(source, 'toml', { file: 'f' }))
        const fromJson = await settle(parseDatasetConfig(json, 'json', { file: 'f' }))
        expect(fromToml === 'resolved').toBe(fromJson === 'resolved')
      }),
      { numRuns: 300 },
    )
  })

  it('of broken text too', async () => {
    const piece = fc.oneof(
      fc.constantFrom(
        '[general]\n',
        '[[datasets]]\n',
        '[[datasets.subsets]]\n',
        '"__proto__"',
        '=',
        '{',
        '}',
        '[',
        ']',
      ),
      fc.constantFrom(
        '1979-05-27',
        '07:32:00',
        'inf',
        'nan',
        '0x1F',
        '1e400',
        "'''",
        '"',
        '\\',
        '\n',
        '#',
        ',',
        '.',
        ':',
      ),
      anyKey,
    )
    await fc.assert(
      fc.asyncProperty(fc.array(piece, { maxLength: 12 }), fc.constantFrom('toml', 'json'), async (pieces, format) => {
        await settle(parseDatasetConfig(pieces.join(''), format as 'toml' | 'json'))
      }),
      { numRuns: 500 },
    )
  })
})

describe('names of the language itself', () => {
  it.each(prototypeKeys)('are unknown options: %s', async (name) => {
    const table = `[general]\n"${name}" = { shuffle_caption = true }\n`
    const fromToml = await configFailure(parseDatasetConfig(table, 'toml', { file: 'd.toml' }))
    expect(fromToml.message).toMatch(new RegExp(`^d\\.toml:2:1: unknown option "${name}" in general`))
    for (const json of [`{"${name}": {"general": {}}}`, `{"datasets": [{"subsets": [{"${name}": 1}]}]}`]) {
      const error = await configFailure(parseDatasetConfig(json, 'json', { file: 'd.json' }))
      expect(error.message).toContain(`unknown option "${name}"`)
    }
  })

  it('give no values through a prototype', async () => {
    const subset = Object.assign(Object.create({ shuffle_caption: true }) as object, { image_dir: 'a' })
    const { datasets } = await resolveDatasetConfig({ datasets: [{ resolution: 512, subsets: [subset] }] })
    expect(datasets[0]!.subsets[0]!.shuffleCaption).toBe(false)
  })
})

describe('documents at the edges', () => {
  it('nested too deep are refused', async () => {
    for (const [open, close] of [
      ['[', ']'],
      ['{"a":', '}'],
    ] as const) {
      const json = `{"general": ${open.repeat(50_000)}1${close.repeat(50_000)}}`
      expect((await configFailure(parseDatasetConfig(json, 'json'))).message).toContain(
        'nested more than 100 levels deep',
      )
    }
    const toml = `a = ${'['.repeat(50_000)}${']'.repeat(50_000)}`
    expect((await configFailure(parseDatasetConfig(toml, 'toml'))).message).toContain('not valid TOML')
  })

  it('may not give a key twice', async () => {
    const json = '{"general": {"flip_aug": true,\n "flip_aug": false}}'
    const error = await configFailure(parseDatasetConfig(json, 'json', { file: 'd.json' }))
    expect(error.message).toBe('d.json:2:2: not valid JSON: "flip_aug" is given twice; remove one')
    const toml = await configFailure(parseDatasetConfig('[general]\nflip_aug = true\nflip_aug = false\n', 'toml'))
    expect(toml.details.line).toBe(3)
  })
})
