import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { captionCandidates, readCaption } from '../../lib/data/captionFile.ts'
import { DataError } from '../../lib/util/errors.ts'
import { makeFolder } from '../support/pictures.ts'

const captionExtension = '.caption'

it('keeps every line that is not blank when one is to be chosen at each use', async () => {
  const folder = await makeFolder({ 'a.caption': ' one \n\n  two\r\nthree\n' })
  const source = { captionExtension, enableWildcard: true }
  expect((await readCaption(join(folder, 'a.png'), source)).text).toBe('one\ntwo\nthree')
})

describe('captionCandidates', () => {
  it('looks next to the picture, then without the numbers of a face cropper', () => {
    expect(captionCandidates('a_b/x.png', '.txt')).toEqual(['a_b/x.txt'])
    expect(captionCandidates('p/x_y_0010_0020_0030_0040.png', '.txt')).toEqual([
      'p/x_y_0010_0020_0030_0040.txt',
      'p/x_y.txt',
    ])
  })

  it('looks at the name only, not at underscores of folders', () => {
    expect(captionCandidates('a_b_c_d_e_f/x.png', '.txt')).toEqual(['a_b_c_d_e_f/x.txt'])
  })

  it('takes four numbers off, not the last pieces of a shorter name', () => {
    expect(captionCandidates('p/x_1_2_3.png', '.txt')).toEqual(['p/x_1_2_3.txt'])
  })

  it('takes off the last extension only', () => {
    expect(captionCandidates('v1.5/a.b.png', '.txt')).toEqual(['v1.5/a.b.txt'])
  })
})

describe('readCaption', () => {
  const read = async (content: string | Uint8Array, classTokens?: string): ReturnType<typeof readCaption> => {
    const folder = await makeFolder({ 'x.caption': content })
    return readCaption(join(folder, 'x.png'), { captionExtension, classTokens })
  }

  it.each([
    ['a plain line', 'a frog\n', 'a frog'],
    ['surrounding space', '  a frog \t\n', 'a frog'],
    ['only the first line', 'one\r\ntwo\nthree', 'one'],
    ['lines ended by carriage returns', 'one\rtwo', 'one'],
    ['a byte order mark, which is removed', '\ufeffa frog, b', 'a frog, b'],
    ['other scripts', 'ein grüner Frosch, カエル 🐸', 'ein grüner Frosch, カエル 🐸'],
  ])('reads %s', async (_, content, expected) => {
    expect((await read(content, 'class')).text).toBe(expected)
  })

  it('counts a blank first line as the empty caption, before class_tokens', async () => {
    const caption = await read('\nsecond', 'class')
    expect(caption.text).toBe('')
    expect(caption.file).toMatch(/x\.caption$/)
  })

  it('uses class_tokens, and else the empty caption, when there is no file', async () => {
    const folder = await makeFolder()
    const image = join(folder, 'x.png')
    expect(await readCaption(image, { captionExtension, classTokens: 'sls frog' })).toEqual({
      text: 'sls frog',
      file: undefined,
    })
    expect(await readCaption(image, { captionExtension })).toEqual({ text: '', file: undefined })
  })

  it('finds the caption of the uncropped picture', async () => {
    const folder = await makeFolder({ 'x.caption': 'whole' })
    expect((await readCaption(join(folder, 'x_0001_0002_0003_0004.png'), { captionExtension })).text).toBe('whole')
  })

  it('rejects an empty file', async () => {
    await expect(read('')).rejects.toThrow(/x\.caption: the caption file is empty/)
    await expect(read('')).rejects.toBeInstanceOf(DataError)
  })

  it('rejects text that is not UTF-8, naming the byte', async () => {
    const error = await read(Buffer.from('caf\xe9, cup', 'latin1')).catch((reason: unknown) => reason)
    expect(error).toBeInstanceOf(DataError)
    expect((error as DataError).message).toMatch(
      /x\.caption: the caption is not UTF-8 text \(byte 3 is 0xe9\): save it again as UTF-8/,
    )
  })
})
