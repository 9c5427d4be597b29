import { describe, expect, it } from 'vitest'
import { ClipTextModel } from '../../lib/models/clip/textModel.ts'
import { loadClipTokenizer } from '../../lib/models/clip/tokenizer.ts'
import { tensor } from '../../lib/tensor/create.ts'
import { CaptionEncoder, longCaptionRows } from '../../lib/train/conditioning.ts'
import { formulaWeights, tinyConfigs } from '../support/tinyModels.ts'

describe('longCaptionRows', () => {
  it('takes the first position, 75 of every chunk, and the last position', () => {
    const rows = longCaptionRows(2, 2)
    expect(rows.length).toBe(2 * 152)
    expect([rows[0], rows[1], rows[75], rows[76], rows[150], rows[151]]).toEqual([0, 1, 75, 78, 152, 153])
    expect([rows[152], rows[303]]).toEqual([154, 307])
  })
})

describe('CaptionEncoder', () => {
  it('encodes 77 positions as the model does', async () => {
    const model = new ClipTextModel(tinyConfigs.tinySd1.textEncoder, formulaWeights('text_encoder'))
    const tokenizer = await loadClipTokenizer()
    const encoder = new CaptionEncoder(tokenizer, model, { clipSkip: 2, sequenceLength: 77, dtype: 'float32' })
    const context = encoder.encode(['a frog', ''])
    const ids = tensor(Int32Array.from([...tokenizer.tokenize('a frog'), ...tokenizer.tokenize('')]), [2, 77])
    expect(context.shape).toEqual([2, 77, 32])
    expect(await context.read()).toEqual(await model.encode(ids, 2).read())
    model.dispose()
  })

  it('joins the chunks of a long caption', async () => {
    const model = new ClipTextModel(tinyConfigs.tinySd1.textEncoder, formulaWeights('text_encoder'))
    const tokenizer = await loadClipTokenizer()
    const encoder = new CaptionEncoder(tokenizer, model, { clipSkip: 1, sequenceLength: 227, dtype: 'float32' })
    const caption = Array.from({ length: 120 }, (_, i) => `word${i}`).join(' ')
    const context = (await encoder.encode([caption]).read()) as Float32Array
    expect(context.length).toBe(227 * 32)
    const chunks = (await model
      .encode(tensor(tokenizer.tokenize(caption, { maxLength: 227 }), [3, 77]))
      .read()) as Float32Array
    const row = (chunk: number, position: number) =>
      chunks.subarray((chunk * 77 + position) * 32, (chunk * 77 + position + 1) * 32)
    expect(context.subarray(0, 32)).toEqual(row(0, 0))
    expect(context.subarray(76 * 32, 77 * 32)).toEqual(row(1, 1))
    expect(context.subarray(226 * 32)).toEqual(row(2, 76))
    model.dispose()
  })
})
