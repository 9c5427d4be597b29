import * as fs from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import sharp from 'sharp'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { encodePng, sampleFileName, writePng } from '../../lib/preview/png.ts'
import { ArgumentError, IoError } from '../../lib/util/errors.ts'

let folder: string
beforeEach(async () => {
  folder = await fs.mkdtemp(join(tmpdir(), 'noisewright-png-'))
})
afterEach(async () => {
  await fs.rm(folder, { recursive: true, force: true })
})

describe('writePng', () => {
  it('keeps every byte of every channel', async () => {
    const pixels = Uint8Array.from({ length: 16 * 8 * 3 }, (_, i) => (i * 37) % 256)
    const path = join(folder, 'picture.png')
    await writePng(path, { width: 16, height: 8, pixels })
    const { data, info } = await sharp(path).raw().toBuffer({ resolveWithObject: true })
    expect(info).toMatchObject({ width: 16, height: 8, channels: 3 })
    expect(new Uint8Array(data)).toEqual(pixels)
    expect((await sharp(path).metadata()).format).toBe('png')
  })

  it('refuses pixels that do not fit the size, and a missing folder', async () => {
    const pixels = new Uint8Array(48)
    await expect(encodePng({ width: 4, height: 5, pixels })).rejects.toThrow(ArgumentError)
    await expect(encodePng({ width: 0, height: 0, pixels: new Uint8Array(0) })).rejects.toThrow(/pixels must be/)
    await expect(writePng(join(folder, 'none', 'x.png'), { width: 4, height: 4, pixels })).rejects.toThrow(IoError)
  })
})

describe('sampleFileName', () => {
  const time = new Date(2023, 7, 5, 4, 3, 2)
  it('shows name, local time, epoch or step, prompt and seed', () => {
    const name = sampleFileName({ outputName: 'frog', time, at: { epoch: 3 }, index: 0, seed: 42 })
    expect(name).toBe('frog_20230805040302_e000003_00_42.png')
    expect(sampleFileName({ time, at: { step: 1200 }, index: 11 })).toBe('20230805040302_001200_11.png')
    expect(sampleFileName({ outputName: '', time, at: { step: 0 }, index: 1, seed: 0 })).toBe(
      '20230805040302_000000_01_0.png',
    )
  })
})
