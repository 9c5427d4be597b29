import fc from 'fast-check'
import { beforeAll, describe, expect, it, vi } from 'vitest'
import { tokenCounter } from '../../lib/models/clip/tokenCounter.ts'
import { type ClipTokenizer, loadClipTokenizer } from '../../lib/models/clip/tokenizer.ts'

describe.each(['sd1', 'sd2'] as const)('tokenCounter for %s', (variant) => {
  let tokenizer: ClipTokenizer
  beforeAll(async () => {
    tokenizer = await loadClipTokenizer({ variant })
  })

  it.each([
    '',
    'a photo of a frog, sitting on a log',
    "it's the dog's 2nd bowl... isn't it?!!",
    'LONG_HAIR, 1girl, ^_^, (masterpiece:1.2)',
    'e\u0301te\u0301 日本語の猫 👩‍👩‍👧 \u00a0\t\n x',
    'İ" İstanbul',
    '<|endoftext|> and <|startoftext|>',
  ])('counts as encoding does: %j', (text) => {
    expect(tokenCounter(tokenizer)(text)).toBe(tokenizer.encode(text).length)
  })

  it('counts any text as encoding does', () => {
    const count = tokenCounter(tokenizer)
    const text = fc.oneof(
      fc.string({ unit: 'grapheme', maxLength: 40 }),
      fc
        .array(fc.constantFrom("'s", "'ll", ' ', 'a', '1', '_', ',', '!', 'é', 'ſ', 'K', '<|'), { maxLength: 30 })
        .map((parts) => parts.join('')),
    )
    fc.assert(
      fc.property(text, (value) => {
        expect(count(value)).toBe(tokenizer.encode(value).length)
      }),
      { numRuns: 500 },
    )
  })

  it('encodes each word once', () => {
    const encode = vi.spyOn(tokenizer, 'encode')
    const count = tokenCounter(tokenizer)
    for (let i = 0; i < 50; i++) count('a red frog, a green frog')
    expect(encode).toHaveBeenCalledTimes(5)
    encode.mockRestore()
  })
})
