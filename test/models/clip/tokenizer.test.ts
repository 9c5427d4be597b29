import { execFileSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { BOS_ID, EOS_ID, loadClipTokenizer } from '../../../lib/models/clip/tokenizer.ts'

/** A caption of so many tokens, all of them "cat" (id 2368). */
const cats = (count: number): string => Array(count).fill('cat').join(' ')
const run = (id: number, count: number): number[] => Array(count).fill(id)
const CAT = 2368

describe('ClipTokenizer.encode', () => {
  // Ids as transformers' tokenizer gives them.
  it.each([
    ['', []],
    [' \n ', []],
    ['a photo of a cat!', [320, 1125, 539, 320, 2368, 256]],
    ['A  B\tC\nD', [320, 321, 322, 323]],
    ["it's we're I'll don't", [585, 568, 649, 982, 328, 1342, 847, 713]],
    ['1girl, solo, 2023, 3d', [272, 1611, 267, 5797, 267, 273, 271, 273, 274, 267, 274, 323]],
    ['café naïve', [15304, 1097, 35689, 563]],
    ['cafe\u0301 nai\u0308ve', [15304, 1097, 35689, 563]],
    ['北京 烤鸭', [161, 234, 245, 21078, 361, 163, 225, 97, 165, 116, 511]],
    ['👩‍👩‍👧‍👦 family 🏳️‍🌈', [26304, 26304, 48938, 4244, 964, 355, 1315, 32610]],
    ['ΑΣ ΣΑΣ', [138, 109, 139, 481, 139, 225, 138, 109, 139, 481]],
    ['<|endoftext|> hi', [49407, 1883]],
  ])('gives the known ids of %j', async (text, ids) => {
    expect((await loadClipTokenizer()).encode(text)).toEqual(ids)
  })

  it('takes a literal ! for the padding token in sd2 alone', async () => {
    expect((await loadClipTokenizer({ variant: 'sd2' })).encode('a photo of a cat!').at(-1)).toBe(0)
    expect((await loadClipTokenizer({ variant: 'sd1' })).encode('a photo of a cat!').at(-1)).toBe(256)
  })

  it('does not shorten long captions, and decodes them again', async () => {
    const tokenizer = await loadClipTokenizer()
    expect(tokenizer.encode(cats(300))).toEqual(run(CAT, 300))
    expect(tokenizer.decode([BOS_ID, ...tokenizer.encode('A Photo,  of café'), EOS_ID])).toBe('a photo , of café')
  })

  it('shares one tokenizer per variant and refuses unknown variants', async () => {
    expect(await loadClipTokenizer()).toBe(await loadClipTokenizer({ variant: 'sd1' }))
    // @ts-expect-error: what a JavaScript caller can do
    await expect(loadClipTokenizer({ variant: 'sdxl' })).rejects.toThrow(/variant must be 'sd1' or 'sd2'/)
  })
})

describe('ClipTokenizer.tokenize', () => {
  it('pads one row of 77 with the end token in sd1 and with 0 in sd2', async () => {
    const sd1 = (await loadClipTokenizer()).tokenize(cats(3))
    expect([...sd1]).toEqual([BOS_ID, ...run(CAT, 3), ...run(EOS_ID, 73)])
    const sd2 = (await loadClipTokenizer({ variant: 'sd2' })).tokenize(cats(3))
    expect([...sd2]).toEqual([BOS_ID, ...run(CAT, 3), EOS_ID, ...run(0, 72)])
  })

  it('cuts the content so that the end token always fits', async () => {
    const row = (await loadClipTokenizer({ variant: 'sd2' })).tokenize(cats(75))
    expect([...row]).toEqual([BOS_ID, ...run(CAT, 75), EOS_ID])
    expect((await loadClipTokenizer({ variant: 'sd2' })).tokenize(cats(300))).toEqual(row)
  })

  it('cuts 100 tokens into three rows for sd1', async () => {
    const rows = (await loadClipTokenizer()).tokenize(cats(100), { maxLength: 227 })
    expect([...rows]).toEqual([
      ...[BOS_ID, ...run(CAT, 75), EOS_ID],
      ...[BOS_ID, ...run(CAT, 25), ...run(EOS_ID, 51)],
      ...[BOS_ID, ...run(EOS_ID, 76)],
    ])
  })

  it('cuts 100 tokens into three rows for sd2, each with an end token', async () => {
    const rows = (await loadClipTokenizer({ variant: 'sd2' })).tokenize(cats(100), { maxLength: 227 })
    expect([...rows]).toEqual([
      ...[BOS_ID, ...run(CAT, 75), EOS_ID],
      ...[BOS_ID, ...run(CAT, 25), EOS_ID, ...run(0, 50)],
      ...[BOS_ID, EOS_ID, ...run(0, 75)],
    ])
  })

  it('ends the last row with the end token when the caption fills two rows', async () => {
    for (const variant of ['sd1', 'sd2'] as const) {
      const rows = (await loadClipTokenizer({ variant })).tokenize(cats(200), { maxLength: 152 })
      const full = [BOS_ID, ...run(CAT, 75), EOS_ID]
      expect([...rows]).toEqual([...full, ...full])
    }
  })

  it('fills unused rows of an empty caption', async () => {
    const sd1 = (await loadClipTokenizer()).tokenize('', { maxLength: 152 })
    expect([...sd1]).toEqual([BOS_ID, ...run(EOS_ID, 76), BOS_ID, ...run(EOS_ID, 76)])
    const sd2 = (await loadClipTokenizer({ variant: 'sd2' })).tokenize('', { maxLength: 152 })
    expect([...sd2]).toEqual([BOS_ID, EOS_ID, ...run(0, 75), BOS_ID, EOS_ID, ...run(0, 75)])
  })
})

describe('the shipped vocabulary', () => {
  it('is what its script makes of the published merge rules', () => {
    const script = fileURLToPath(new URL('../../../scripts/buildTokenizerAsset.mjs', import.meta.url))
    expect(execFileSync(process.execPath, [script, '--check'], { encoding: 'utf8' })).toContain('expected merges')
  })
})
