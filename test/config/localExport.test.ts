import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { loadLocalExport, namesLocalExport } from '../../lib/config/localExport.ts'

let folder: string

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'noisewright-export-'))
  await writeFile(
    join(folder, 'good.mjs'),
    'export const half = () => 0.5\nexport const five = 5\nexport class Mine {}\n',
  )
  await writeFile(join(folder, 'bad.mjs'), 'export const = 1\n')
  await writeFile(join(folder, 'fails.mjs'), 'throw new Error("not today")\n')
})

afterAll(async () => {
  await rm(folder, { recursive: true, force: true })
})

describe('loadLocalExport', () => {
  it('loads functions and classes by absolute and relative paths', async () => {
    const file = join(folder, 'good.mjs')
    expect((await loadLocalExport('--x', `${file}#half`)).name).toBe('half')
    expect((await loadLocalExport('--x', `${relative(process.cwd(), file)}#Mine`)).name).toBe('Mine')
  })

  it.each([
    ['package#Name', 'loads code only from a file given by its path'],
    ['node:fs#rm', 'loads code only from a file given by its path'],
    ['https://example.org/a.js#Name', 'loads code only from a file given by its path'],
    ['file:///tmp/a.js#Name', 'loads code only from a file given by its path'],
    ['data:text/javascript,1#Name', 'loads code only from a file given by its path'],
    ['./good.mjs', 'must name a file and an export of it'],
    ['#Name', 'must name a file and an export of it'],
    ['./a.js#B#C', 'must name a file and an export of it'],
    ['./no-such-file.js#Name', 'there is no file'],
    ['.././#Name', 'there is no file'],
  ])('refuses %s', async (text, message) => {
    await expect(loadLocalExport('--x', text)).rejects.toThrow(message)
  })

  it.each([
    ['good.mjs#halve', /exports Mine, five, half, not "halve". Did you mean "half"\?/],
    ['good.mjs#five', /"five" of .* must be a function or a class, found number/],
    ['bad.mjs#x', /cannot be loaded: /],
    ['fails.mjs#x', /cannot be loaded: Error: not today/],
  ])('says what is wrong with %s', async (text, message) => {
    await expect(loadLocalExport('--x', join(folder, text))).rejects.toThrow(message)
  })
})

it('names and classes of Python are no files', () => {
  expect(['AdamW', 'torch.optim.Adam', ''].filter(namesLocalExport)).toEqual([])
  expect(['./a', '../a.js#B', '/a.js', 'a.mjs', 'x#Y'].every(namesLocalExport)).toBe(true)
})
