import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { parseJson, parseToml } from '../../lib/config/configText.ts'
import { readCleaningRules } from '../../lib/metadata/cleaningRules.ts'
import { cleanMetadata } from '../../lib/metadata/cleanMetadata.ts'
import { cleanCaption, cleanTags } from '../../lib/metadata/cleanTexts.ts'
import { ConfigError } from '../../lib/util/errors.ts'
import { makeFolder } from '../support/pictures.ts'

const folder = await makeFolder()
const rules = await readCleaningRules()

async function rulesFrom(name: string, text: string) {
  const path = join(folder, name)
  await writeFile(path, text)
  return readCleaningRules(path)
}

describe('cleanTags', () => {
  it.each([
    [
      '1girl, solo, long_hair, white_shirt, shirt, blue_eyes, ^_^, rating:safe',
      '1girl, solo, long hair, white shirt, blue eyes, ^_^',
    ],
    [
      '2girls, long_hair, blue_hair, red_hair, blue_eyes, red_eyes, light_brown_hair, shirt',
      '2girls, long hair, light brown hair, shirt',
    ],
    [
      'multiple_girls, short_hair, long_hair, brown_hair, ponytail, side_braid, hair_ornament, flower_hair_ornament',
      'multiple girls, brown hair, flower hair ornament',
    ],
    ['2boys, black_hair, smile', '2boys, black hair, smile'],
    ['hair, long_hair, hair_bow, bow', 'long hair, hair bow'],
    ['1girl, >_<, t-shirt, shirt, dress, white_dress', '1girl, > <, t-shirt, shirt, white dress'],
    ['rating:safe, 1girl', 'rating:safe, 1girl'],
    ['1girl,solo,blue_eyes', '1girl,solo,blue eyes'],
    ['boys, school_boys', 'school boys'],
    ['', ''],
  ])('turns %j into %j', (text, cleaned) => {
    expect(cleanTags(text, rules).text).toBe(cleaned)
  })

  it('leaves nothing where every tag goes', () => {
    const boysAndHair = { ...rules, tagGroups: [/boys|hair/] }
    expect(cleanTags('2boys, red hair, boys', boysAndHair)).toEqual({ text: '', ratingCount: 0 })
  })

  it('counts the ratings that it cuts off', () => {
    expect(cleanTags('a, rating:safe, b, ratings, c', rules)).toEqual({ text: 'a', ratingCount: 2 })
  })

  it('takes time in proportion to the text', () => {
    const tags = Array.from({ length: 50_000 }, (_, i) => `word${i}, plain word${i}`).join(', ')
    expect(cleanTags(`2girls, ${tags}`, rules).text.split(', ')).toHaveLength(50_001)
    expect(cleanTags('a '.repeat(100_000), rules).text).toBe('a '.repeat(100_000))
  })
})

describe('cleanCaption', () => {
  it.each([
    ['a young anime woman and two people', 'a girl and two girls'],
    ['personal ladybug', 'girlal girlbug'],
    ['a cartoon anime drawing of Women', 'a drawing of Women'],
    ['yoyoung ung frog', 'frog'],
  ])('turns %j into %j', (text, cleaned) => {
    expect(cleanCaption(text, rules)).toBe(cleaned)
  })

  it('refuses replacements that grow without end', async () => {
    const growing = await rulesFrom('growing.json', '{"caption_replacements": [["ab", "bbaa"]]}')
    expect(cleanCaption('b$&a', growing)).toBe('b$&a')
    expect(() => cleanCaption('aabb', growing)).toThrow(/"ab" to "bbaa" makes a caption grow without end/)
  })
})

describe('readCleaningRules', () => {
  it('has the default rules in a file that users can start from', () => {
    expect(rules.captionReplacements).toHaveLength(27)
    expect(rules.captionReplacements[1]).toEqual({ from: 'young ', to: '' })
    expect(rules.tagGroups).toHaveLength(5)
    expect(rules.tagGroups[2]!.test('light-blue eyes')).toBe(true)
    expect(rules.tagGroups[2]!.test('light blue eyes')).toBe(false)
    expect(rules.tagGroups[2]!.test('grün eyes')).toBe(true)
  })

  it('replaces only the lists that a file has', async () => {
    const mine = await rulesFrom('mine.toml', 'caption_replacements = [["frog", "toad $&"]]\n')
    expect(cleanCaption('a frog and a woman', mine)).toBe('a toad $& and a woman')
    expect(mine.tagGroups).toEqual(rules.tagGroups)
    const groups = await rulesFrom('groups.json', '{"tag_groups": [["hat (*)", "a.b", "dark-*"]]}')
    expect(groups.captionReplacements).toEqual(rules.captionReplacements)
    const [group] = groups.tagGroups
    expect(['hat (red)', 'a.b', 'dark-blue', 'hat red', 'axb', 'hat (red one)'].map((tag) => group!.test(tag))).toEqual(
      [true, true, true, false, false, false],
    )
  })

  it.each([
    [
      'a.toml',
      'caption_replacement = []',
      '"caption_replacement" is not known; expected caption_replacements or tag_groups. Did you mean "caption_replacements"?',
    ],
    ['a.toml', 'caption_replacements = 5', 'caption_replacements: expected a list'],
    [
      'a.toml',
      'caption_replacements = [["a"]]',
      'caption_replacements[0]: expected a list of two texts, [text, replacement]',
    ],
    [
      'a.json',
      '{"caption_replacements": [["a", "b"], ["", "b"]]}',
      'caption_replacements[1]: the text to be replaced is empty',
    ],
    [
      'a.json',
      '{"caption_replacements": [["a", "bab"]]}',
      'caption_replacements[0]: "bab" holds "a" again, so that replacing it would never come to an end',
    ],
    ['a.json', '{"tag_groups": [["a", 1]]}', 'tag_groups[0]: expected a list of tags'],
    ['a.json', '[]', 'expected a table with caption_replacements and tag_groups'],
  ])('refuses what is no set of rules: %s %s', async (name, text, message) => {
    await expect(rulesFrom(name, text)).rejects.toMatchObject({
      name: 'ConfigError',
      message: `${join(folder, name)}: ${message}`,
    })
  })

  it('refuses files that are not there or not TOML', async () => {
    await expect(readCleaningRules(join(folder, 'none.toml'))).rejects.toThrow(ConfigError)
    await expect(rulesFrom('a.toml', 'a = [')).rejects.toThrow(ConfigError)
    await expect(rulesFrom('a.json', '{"a": [}')).rejects.toThrow(ConfigError)
  })
})

describe('cleanMetadata', () => {
  it('cleans in place, keeps the rest and tells what is missing', async () => {
    const path = join(folder, 'meta.json')
    await writeFile(
      path,
      '{"a": {"x": 1.0, "tags": "a_b"}, "b": {"caption": "lady", "tags": null}, "c": {"caption": "frog", "tags": "t"}}',
    )
    const notes: string[] = []
    const changes: string[] = []
    const report = await cleanMetadata(path, path, {
      onNote: (note) => notes.push(note),
      onChange: (key, before, after) => changes.push(`${key}: ${before} > ${after}`),
    })
    expect(report).toEqual({ entries: 3, changed: 2, warnings: [] })
    expect(notes).toEqual(['no caption: a', 'no tags: b'])
    expect(changes).toEqual(['a: a_b > a b', 'b: lady > girl'])
    expect(JSON.parse(await readFile(path, 'utf8'))).toEqual({
      a: { x: 1, tags: 'a b' },
      b: { caption: 'girl', tags: null },
      c: { caption: 'frog', tags: 't' },
    })
  })
})

describe('configuration texts with names of object internals', () => {
  const name = fc.constantFrom('__proto__', 'constructor', 'prototype', 'toString', 'a', 'tag_groups')
  const path = fc.array(name, { minLength: 1, maxLength: 4 })
  const toml = fc
    .array(fc.tuple(path, fc.constantFrom('table', 'array', 'key')), { minLength: 1, maxLength: 5 })
    .map((parts) =>
      parts
        .map(([names, kind], i) => {
          const dotted = names.map((part) => (i % 2 === 0 ? part : JSON.stringify(part))).join('.')
          if (kind === 'key') return `${dotted} = { ${dotted} = 1, polluted = true }`
          return kind === 'table' ? `[${dotted}]\npolluted = true` : `[[${dotted}]]\npolluted = true`
        })
        .join('\n'),
    )
  const json = path.map((names) =>
    names.reduceRight((inner, part) => `{${JSON.stringify(part)}: ${inner}}`, '{"polluted": true}'),
  )

  it('change no prototype, and fail with our errors only', async () => {
    let parsed = 0
    const check = async (work: () => unknown): Promise<void> => {
      try {
        await work()
        parsed++
      } catch (error) {
        expect(error).toBeInstanceOf(ConfigError)
      }
      expect('polluted' in {} || 'polluted' in Object || 'polluted' in []).toBe(false)
    }
    await fc.assert(
      fc.asyncProperty(toml, json, async (tomlText, jsonText) => {
        await check(() => parseToml(tomlText, 'a.toml'))
        await check(() => parseJson(jsonText, 'a.json'))
        await check(() => rulesFrom('fuzzed.toml', tomlText))
        await check(() => rulesFrom('fuzzed.json', jsonText))
      }),
      { numRuns: 200 },
    )
    expect(parsed).toBeGreaterThan(250)
  })
})
