import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { MetadataEntry } from '../../lib/metadata/metadataEntry.ts'
import { type Metadata, readMetadata } from '../../lib/metadata/readMetadata.ts'
import { writeMetadata } from '../../lib/metadata/writeMetadata.ts'
import { DataError, IoError, NoisewrightError } from '../../lib/util/errors.ts'
import { makeFolder } from '../support/pictures.ts'

const folder = await makeFolder()
const path = join(folder, 'meta.json')

async function read(text: string | Uint8Array): Promise<Metadata> {
  await writeFile(path, text)
  return readMetadata(path)
}

/** The text of a file that was read and written back. */
async function rewritten(text: string): Promise<string> {
  await writeMetadata(path, (await read(text)).entries)
  return readFile(path, 'utf8')
}

async function refusal(text: string | Uint8Array): Promise<string> {
  const error: unknown = await read(text).catch((reason: unknown) => reason)
  expect(error).toBeInstanceOf(DataError)
  expect((error as DataError).path).toBe(path)
  return (error as DataError).message.slice(path.length + 2)
}

describe('readMetadata', () => {
  it('gives known fields by name and all fields in order', async () => {
    const { entries, warnings } = await read(
      '{"b": {"tags": "a, b", "x": {"y": [1]}, "caption": "two\\nlines"}, "1": {"train_resolution": [640, 384], "image_size": [1920, 1080]}, "a": {}}',
    )
    expect([...entries.keys()]).toEqual(['b', '1', 'a'])
    const b = entries.get('b')!
    expect([b.caption, b.tags, b.trainResolution, b.imageSize]).toEqual(['two\nlines', 'a, b', undefined, undefined])
    expect([...b]).toEqual([
      ['tags', 'a, b'],
      ['x', new Map([['y', [1]]])],
      ['caption', 'two\nlines'],
    ])
    expect(entries.get('1')!.trainResolution).toEqual([640, 384])
    expect(entries.get('1')!.imageSize).toEqual([1920, 1080])
    expect(warnings).toEqual([])
  })

  it('takes null for absent', async () => {
    const { entries } = await read('{"a": {"caption": null, "tags": null, "train_resolution": null}}')
    expect(entries.get('a')!.caption).toBeUndefined()
    expect(entries.get('a')!.trainResolution).toBeUndefined()
  })

  it('counts the last of two equal keys, at the place of the first, and says so', async () => {
    const { entries, warnings } = await read('{"a": {"tags": "1"}, "b": {"x": 1, "x": 2}, "a": {"tags": "2"}}')
    expect([...entries.keys()]).toEqual(['a', 'b'])
    expect(entries.get('a')!.tags).toBe('2')
    expect(warnings).toEqual([`${path}: keys that occur twice, of which the last counts: "x" of "b", "a"`])
    const cut = await read(`{"a": {"x": 1, "x": 2, "caption": "${'x'.repeat(300_000)}"}}`)
    expect(cut.warnings).toEqual([`${path}: keys that occur twice, of which the last counts: "x" of "a"`])
  })

  it('keeps names of object internals as plain keys', async () => {
    const text =
      '{"__proto__": {"polluted": 1, "__proto__": {"polluted": 2}}, "constructor": {"prototype": {"polluted": 3}}}'
    const { entries } = await read(text)
    expect([...entries.keys()]).toEqual(['__proto__', 'constructor'])
    expect(entries.get('__proto__')!.get('__proto__')).toEqual(new Map([['polluted', 2]]))
    expect('polluted' in {}).toBe(false)
    expect(JSON.parse(await rewritten(text))).toEqual(JSON.parse(text))
  })

  it('reads entries that are larger than what is read at a time, and files of many pieces', async () => {
    const long = 'ä'.repeat(700_000)
    const many = Array.from({ length: 20_000 }, (_, i) => `"${i}": {"caption": "é\\u00e9 ${i}", "tags": "x"}`)
    const { entries } = await read(`{"long": {"caption": "${long}"}, ${many.join(', ')}, "end": {"n": 1e5}}`)
    expect(entries.size).toBe(20_002)
    expect(entries.get('long')!.caption).toBe(long)
    expect(entries.get('13579')!.caption).toBe('éé 13579')
  })

  it('gives other work its turns while it reads', async () => {
    const entry = `{"caption": "${'word '.repeat(40)}"}`
    await writeFile(path, `{${Array.from({ length: 10_000 }, (_, i) => `"${i}": ${entry}`).join(',')}}`)
    let turns = 0
    const timer = setInterval(() => turns++, 0)
    await readMetadata(path)
    clearInterval(timer)
    // 2.2 MB are nine pieces.
    expect(turns).toBeGreaterThan(3)
  })

  it('refuses an entry that no picture has', async () => {
    const text = `{"a": {}, "b": {"caption": "${'x'.repeat(2 ** 24)}`
    expect(await refusal(text)).toBe(
      'not a metadata file: line 1, column 9: expected entries of less than 16777216 bytes, found a longer one',
    )
  })

  it.each([
    ['', 'line 1, column 1: expected a JSON object of pictures, found the end of the file'],
    ['[1]', 'line 1, column 1: expected a JSON object of pictures, found "[1]"'],
    ['{"a": {}', 'line 1, column 9: expected "," or "}" after an entry, found the end of the file'],
    ['{\n  "a": {},\n  "é": {"x": tru}\n}', 'line 3, column 14: expected a value, found "tru}"'],
    ['{"a": {"x": 01}}', 'line 1, column 13: expected a value, found "01}}"'],
    ['{"a": {},}', 'line 1, column 10: expected a key in double quotes, found "}"'],
    ['{"a": {"x": [1,]}}', 'line 1, column 16: expected a value, found "]}}"'],
    ["{'a': {}}", 'line 1, column 2: expected a key in double quotes, found "\'a\': {}}"'],
    ['{"a" {}}', 'line 1, column 6: expected ":" after a key, found "{}}"'],
    ['{"a": {}} {', 'line 1, column 11: expected nothing after the last "}", found "{"'],
    [
      '{"a": {"caption": "x}}',
      'line 1, column 19: expected a text that ends with a double quote, found the end of the file',
    ],
    ['{"a": {"caption": "x\ny"}}', 'line 1, column 21: expected text, found the control character 0x0a'],
    ['{"a": {"caption": "\\x"}}', 'line 1, column 19: expected a text with valid escapes, found "\\x"'],
    [
      '\ufeff{}',
      'line 1, column 1: expected a JSON object, found a byte order mark; save the file as UTF-8 without one',
    ],
  ])('refuses what is not JSON, with the place: %j', async (text, message) => {
    expect(await refusal(text)).toBe(`not a metadata file: ${message}`)
  })

  it('refuses texts that are not UTF-8, deep nesting and endless ints', async () => {
    const latin1 = Buffer.from('{"a": {"caption": "caf\xe9"}}', 'latin1')
    expect(await refusal(latin1)).toContain('column 19: expected a text in UTF-8, found other bytes')
    expect(await refusal(`{"a": {"x": ${'['.repeat(200_000)}`)).toContain('at most 100 objects and lists inside')
    expect(await refusal(`{"a": {"x": ${'1'.repeat(5000)}}}`)).toContain('expected a value')
  })

  it('names the key and the value of every field of a wrong type', async () => {
    expect(
      await refusal('{"a": {"caption": 5}, "b": {"tags": ["x"]}, "c": {"train_resolution": [512.0, 512]}, "d": [1]}'),
    ).toBe(
      [
        '"a": caption must be a text, found 5',
        '"b": tags must be a text of tags separated by commas, found ["x"]',
        '"c": train_resolution must be a list of width and height, two positive whole numbers, found [512.0, 512]',
        '"d": expected an object of fields, found [1]',
      ].join('\n'),
    )
    const many = Array.from({ length: 30 }, (_, i) => `"${i}": {"caption": ${i}}`)
    expect(await refusal(`{${many.join(',')}}`)).toMatch(/"19": .*\nand 10 more problems$/)
  })

  it('says when there is no file', async () => {
    await expect(readMetadata(join(folder, 'none.json'))).rejects.toThrow(IoError)
    await expect(readMetadata(folder)).rejects.toThrow(IoError)
  })
})

describe('writeMetadata', () => {
  it('lays out what it is given as Python does', async () => {
    const entries = new Map([
      ['b', new MetadataEntry([['caption', 'Frosch grün']])],
      ['a', new MetadataEntry([['train_resolution', [512, 512]]])],
      ['empty', new MetadataEntry()],
    ])
    await writeMetadata(path, entries)
    expect(await readFile(path, 'utf8')).toBe(
      '{\n  "b": {\n    "caption": "Frosch gr\\u00fcn"\n  },\n  "a": {\n    "train_resolution": [\n      512,\n      512\n    ]\n  },\n  "empty": {}\n}',
    )
    await writeMetadata(path, new Map())
    expect(await readFile(path, 'utf8')).toBe('{}')
  })

  it('keeps ints and floats as they are to Python', async () => {
    const text = '{"a": {"x": [1.0, 1, -0, -0.0, 1e5, 1E-7, 12345678901234567890, 0.1, NaN, -Infinity, 1e400, 1.50]}}'
    const numbers = (await rewritten(text)).match(/[-\w.+]+(?=,?\n {6}[-\w]|\n {4}\])/g)
    expect(numbers?.join(' ')).toBe('1.0 1 0 -0.0 100000.0 1e-07 12345678901234567890 0.1 NaN -Infinity Infinity 1.5')
  })

  it('leaves the file alone when the new one cannot be produced', async () => {
    await writeFile(path, '{"kept": {}}')
    class Broken extends Map<string, MetadataEntry> {
      override *[Symbol.iterator](): MapIterator<[string, MetadataEntry]> {
        yield ['a', new MetadataEntry([['caption', 'x'.repeat(1_000_000)]])]
        throw new Error('no more')
      }
    }
    await expect(writeMetadata(path, new Broken([['a', new MetadataEntry()]]))).rejects.toThrow('no more')
    expect(await readFile(path, 'utf8')).toBe('{"kept": {}}')
    expect(await readdir(folder)).toEqual(['meta.json'])
  })
})

describe('a file of lines', () => {
  const linesPath = join(folder, 'meta.JSONL')
  const readLines = async (text: string): Promise<Metadata> => {
    await writeFile(linesPath, text)
    return readMetadata(linesPath)
  }

  it('has an object for each picture, with its key', async () => {
    const { entries, warnings } = await readLines(
      '{"image_path": "b.png", "tags": "1", "tags": "a, b", "image_size": [64, 32]}\r\n\n{"caption": "x", "image_path": "a/é.png"} {"image_path": "b.png"}',
    )
    expect(Array.from(entries, ([key, entry]) => [key, [...entry]])).toEqual([
      ['b.png', []],
      ['a/é.png', [['caption', 'x']]],
    ])
    expect(warnings).toEqual([
      `${linesPath}: keys that occur twice, of which the last counts: "tags" of "b.png", "b.png"`,
    ])
    expect((await readLines('')).entries.size).toBe(0)
  })

  it('is read in pieces and written as it was read', async () => {
    const lines = Array.from(
      { length: 9000 },
      (_, i) => `{"image_path": "${i}", "caption": "${'c'.repeat(60)} ${i}", "x": 1.0}\n`,
    )
    const { entries } = await readLines(lines.join(''))
    expect(entries.size).toBe(9000)
    expect(entries.get('8999')!.caption).toMatch(/c 8999$/)
    await writeMetadata(linesPath, entries)
    expect(await readFile(linesPath, 'utf8')).toBe(lines.join(''))
    await writeMetadata(path, entries)
    expect((await readMetadata(path)).entries).toEqual(entries)
  })

  it.each([
    [
      '{"image_path": "a"}\n{"caption": "x"}',
      'line 2, column 1: expected an object whose "image_path" is a text, found {"caption": "x"}',
    ],
    ['{"image_path": 5}', 'line 1, column 1: expected an object whose "image_path" is a text, found 5'],
    ['{"image_path": "a"},', 'line 1, column 20: expected "{", found ","'],
    ['\ufeff{"image_path": "a"}', 'line 1, column 1: expected a JSON object, found a byte order mark'],
    ['{"image_path": "a"}\n{"image_path"', 'line 2, column 14: expected ":" after a key, found the end of the file'],
    ['{"image_path": "a", "tags": 5}', '"a": tags must be a text of tags separated by commas, found 5'],
  ])('is refused with the place: %s', async (text, message) => {
    await expect(readLines(text)).rejects.toThrow(message)
  })
})

describe('any metadata', () => {
  const names = fc.oneof(
    fc.constantFrom('__proto__', 'constructor', 'prototype', 'toString', 'caption', 'tags', '7'),
    fc.string({ unit: 'binary' }),
  )
  const value = fc.letrec((tie) => ({
    value: fc.oneof(
      { maxDepth: 4 },
      fc.string({ unit: 'binary' }),
      fc.integer(),
      fc.boolean(),
      fc.constant(null),
      fc.array(tie('value'), { maxLength: 3 }),
      fc.array(fc.tuple(names, tie('value')), { maxLength: 3 }).map(objectText),
    ),
  })).value

  /** A JSON object with members as they come, equal keys too, marked so that it is not quoted again. */
  function objectText(members: readonly (readonly [string, unknown])[]): { raw: string } {
    return { raw: `{${members.map(([key, item]) => `${JSON.stringify(key)}: ${jsonText(item)}`).join(', ')}}` }
  }
  function jsonText(item: unknown): string {
    if (Array.isArray(item)) return `[${item.map(jsonText).join(',')}]`
    if (typeof item === 'object' && item !== null && 'raw' in item) return String(item.raw)
    return JSON.stringify(item)
  }
  const member = fc.tuple(names, fc.array(fc.tuple(names, value), { maxLength: 4 }).map(objectText))
  const valid = fc.array(member, { maxLength: 5 }).map((members) => objectText(members).raw)

  const snapshot = (): string =>
    JSON.stringify(
      [Object.prototype, Array.prototype, Map.prototype].map((shape) => Reflect.ownKeys(shape).map(String)),
    )

  it('is read or refused with one of our errors, and pollutes nothing', async () => {
    const before = snapshot()
    let count = 0
    const damaged = fc
      .tuple(
        valid,
        fc.double({ min: 0, max: 1, noNaN: true }),
        fc.constantFrom('', '{', '"', ',', '\\', '1', '}}', '\0'),
      )
      .map(([text, place, piece]) => {
        const at = Math.floor(place * text.length)
        return text.slice(0, at) + piece + text.slice(at + 1)
      })
    await fc.assert(
      fc.asyncProperty(fc.oneof(valid, damaged), async (text) => {
        try {
          await read(text)
          count++
        } catch (error) {
          expect(error).toBeInstanceOf(NoisewrightError)
        }
        expect(snapshot()).toBe(before)
        expect(Object.getPrototypeOf({})).toBe(Object.prototype)
      }),
      { numRuns: 300 },
    )
    expect(count).toBeGreaterThan(20)
  })

  it('is written as it was read', async () => {
    await fc.assert(
      fc.asyncProperty(valid, async (text) => {
        const first = await rewritten(text).catch((error: unknown) => error)
        if (first instanceof DataError) return
        expect(JSON.parse(first as string)).toEqual(JSON.parse(text))
        expect(await rewritten(first as string)).toBe(first)
      }),
      { numRuns: 60 },
    )
  })
})
