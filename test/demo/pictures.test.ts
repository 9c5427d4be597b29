import { createHash } from 'node:crypto'
import * as fs from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import sharp from 'sharp'
import { parse } from 'smol-toml'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { makeDemoData } from '../../lib/demo/pictures.ts'
import { readPromptFile } from '../../lib/preview/promptFile.ts'
import { ArgumentError, IoError } from '../../lib/util/errors.ts'

let folder: string
beforeEach(async () => {
  folder = await fs.mkdtemp(join(tmpdir(), 'noisewright-demo-'))
})
afterEach(async () => {
  await fs.rm(folder, { recursive: true, force: true })
})

async function hashes(imageFolder: string): Promise<string[]> {
  const names = (await fs.readdir(imageFolder)).sort()
  return Promise.all(
    names.map(async (name) => {
      const bytes = await fs.readFile(join(imageFolder, name))
      return `${name} ${createHash('sha256').update(bytes).digest('hex')}`
    }),
  )
}

describe('makeDemoData', () => {
  it('makes 24 opaque pictures of 256x256 on white, each with its caption', async () => {
    const { imageFolder, captions } = await makeDemoData(folder)
    const names = (await fs.readdir(imageFolder)).sort()
    expect(names).toHaveLength(48)
    expect(new Set(captions).size).toBe(24)
    expect(captions).toContain('a 3d emoji of a fox')
    expect(captions).toContain('a 3d emoji of an orangutan')
    expect(captions).toContain('a 3d emoji of a unicorn')
    for (const [index, name] of names.filter((file) => file.endsWith('.png')).entries()) {
      const caption = await fs.readFile(join(imageFolder, name.replace('.png', '.txt')), 'utf8')
      expect(caption).toBe(`${captions[index]}\n`)
      const { data, info } = await sharp(join(imageFolder, name)).raw().toBuffer({ resolveWithObject: true })
      expect(info).toMatchObject({ width: 256, height: 256, channels: 3 })
      expect([...data.subarray(0, 3)], `the corner of ${name}`).toEqual([255, 255, 255])
      expect(new Set(data).size, `the colours of ${name}`).toBeGreaterThan(50)
    }
  })

  it('describes the folder in a data set file and gives prompts of the same size', async () => {
    const { imageFolder, datasetFile, promptFile } = await makeDemoData(folder, { count: 5, size: 64, batchSize: 2 })
    expect(parse(await fs.readFile(datasetFile, 'utf8'))).toEqual({
      general: { caption_extension: '.txt' },
      datasets: [{ resolution: 64, batch_size: 2, subsets: [{ image_dir: imageFolder, num_repeats: 1 }] }],
    })
    const prompts = await readPromptFile(promptFile, { onWarning: (message) => expect.fail(message) })
    expect(prompts).toHaveLength(4)
    expect(prompts[0]).toMatchObject({ prompt: 'a 3d emoji of a monkey face', width: 64, height: 64, seed: 1 })
  })

  it('gives the same bytes again, and removes only its own files', async () => {
    const first = await makeDemoData(folder, { count: 3, size: 64 })
    const before = await hashes(first.imageFolder)
    await fs.writeFile(join(first.imageFolder, 'mine.png'), 'mine')
    await makeDemoData(folder, { count: 5, size: 64 })
    expect(await fs.readdir(first.imageFolder)).toHaveLength(11)
    await makeDemoData(folder, { count: 3, size: 64 })
    expect((await hashes(first.imageFolder)).filter((line) => !line.startsWith('mine'))).toEqual(before)
    expect(await fs.readFile(join(first.imageFolder, 'mine.png'), 'utf8')).toBe('mine')
  })

  it('refuses what cannot be had', async () => {
    await expect(makeDemoData(folder, { count: 0 })).rejects.toThrow(/count must be a whole number of 1 or more/)
    const attempt = makeDemoData(folder, { theme: 'Animals & Natur' })
    await expect(attempt).rejects.toThrow(ArgumentError)
    await expect(attempt).rejects.toThrow(/Did you mean "Animals & Nature"/)
    await fs.writeFile(join(folder, 'file'), '')
    await expect(makeDemoData(join(folder, 'file'), { count: 1 })).rejects.toThrow(IoError)
  })
})
