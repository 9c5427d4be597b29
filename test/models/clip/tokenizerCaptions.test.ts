import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { BOS_ID, EOS_ID, loadClipTokenizer } from '../../../lib/models/clip/tokenizer.ts'

interface CaptionFixture {
  /** `ids` are those of transformers' CLIPTokenizer, with start and end, not cut. */
  readonly cases: readonly { readonly text: string; readonly ids: readonly number[] }[]
}

const fixture = new URL('../../fixtures/tokenizer/captions.json', import.meta.url)

describe('ClipTokenizer on captions tokenized by transformers', () => {
  it('gives the same ids for every caption', async () => {
    const { cases } = JSON.parse(readFileSync(fixture, 'utf8')) as CaptionFixture
    expect(cases.length).toBeGreaterThanOrEqual(200)
    const tokenizer = await loadClipTokenizer()
    for (const { text, ids } of cases) {
      expect([BOS_ID, ...tokenizer.encode(text), EOS_ID], JSON.stringify(text)).toEqual(ids)
    }
  })
})
