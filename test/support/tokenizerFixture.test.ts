import { expect, test } from 'vitest'
import { loadTokenizerFixture } from './fixtureCases.ts'

test('the tokenizer fixture holds 200 different captions, each framed by BOS and EOS', () => {
  const { cases } = loadTokenizerFixture()
  expect(new Set(cases.map(({ text }) => text)).size).toBe(200)
  for (const { text, ids, slow = ids, ftfy = ids } of cases)
    for (const row of [ids, slow, ftfy]) {
      expect(row[0], text).toBe(49406)
      expect(row.at(-1), text).toBe(49407)
      expect(Math.max(...row), text).toBeLessThan(49408)
    }
  expect(cases.find(({ text }) => text === 'a photo of a cat')?.ids).toEqual([49406, 320, 1125, 539, 320, 2368, 49407])
  expect(Math.max(...cases.map(({ ids }) => ids.length))).toBeGreaterThan(302)
})
