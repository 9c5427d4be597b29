import { describe, expect, it } from 'vitest'
import { loadClipTokenizer, type TokenSequenceLength } from '../../lib/models/clip/tokenizer.ts'
import { loadOracle } from '../support/dataOracle.ts'

type Rows = Readonly<Record<string, readonly (readonly number[])[]>>

interface TokenFixture {
  /** Rows of ids by content length. */
  readonly captions: readonly { readonly text: string; readonly sd1: Rows; readonly sd2: Rows }[]
}

const { captions } = loadOracle<TokenFixture>('tokens')
const lengths: Readonly<Record<string, TokenSequenceLength>> = { 75: 77, 150: 152, 225: 227 }

describe.each(['sd1', 'sd2'] as const)('rows of tokens against sd-scripts, %s', (variant) => {
  it.each(captions)('are the same: $text', async (caption) => {
    const tokenizer = await loadClipTokenizer({ variant })
    for (const [length, rows] of Object.entries(caption[variant])) {
      const ids = tokenizer.tokenize(caption.text, { maxLength: lengths[length]! })
      expect([...ids], length).toEqual(rows.flat())
    }
  })
})
