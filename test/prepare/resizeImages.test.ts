import { readdir, readFile, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import sharp from 'sharp'
import { describe, expect, it } from 'vitest'
import { run } from '../../lib/cli/run.ts'
import { decodeImage } from '../../lib/data/image.ts'
import { resizeImage } from '../../lib/ops/resizeImage.ts'
import { tensor } from '../../lib/tensor/create.ts'
import { scope } from '../../lib/tensor/scope.ts'
import { exitCodes } from '../../lib/util/errors.ts'
import { makeTestHost } from '../cli/testHost.ts'
import { makeFolder, noisePixels } from '../support/pictures.ts'

async function runWith(...args: string[]) {
  const host = makeTestHost()
  const code = await run(args, host)
  return { code, out: host.stdout.text, err: host.stderr.text }
}

/** Noise of one size, resized by the op. */
async function expectedPixels(from: [number, number], width: number, height: number, method: 'area' | 'cubic') {
  const result = scope(() =>
    resizeImage(tensor(noisePixels(...from), [from[1], from[0], 3]), { width, height, method }),
  )
  const pixels = await result.read()
  result.dispose()
  return pixels
}

describe('resize-images', () => {
  it('makes every size of the original picture, not of the size before', async () => {
    const source = await makeFolder({ 'frog.png': [100, 60], 'small.png': [20, 10] })
    const target = join(source, 'out')
    const { code, out } = await runWith(
      'resize_images_to_resolution',
      source,
      target,
      '--max_resolution',
      '64x64, 20x20',
      '--save_as_png',
    )
    expect(code).toBe(exitCodes.ok)
    expect((await readdir(target)).sort()).toEqual([
      'frog+20x20.png',
      'frog+64x64.png',
      'small+20x20.png',
      'small+64x64.png',
    ])
    // sqrt(4096 / 6000) * 100 = 82.6, * 60 = 49.6; sqrt(400 / 6000) gives 25.8 and 15.5.
    for (const [name, width, height] of [
      ['frog+64x64', 82, 49],
      ['frog+20x20', 25, 15],
    ] as const) {
      const { pixels, ...size } = await decodeImage(join(target, `${name}.png`))
      expect(size).toEqual({ width, height })
      expect(pixels).toEqual(await expectedPixels([100, 60], width, height, 'area'))
    }
    expect((await decodeImage(join(target, 'small+20x20.png'))).pixels).toEqual(noisePixels(20, 10))
    expect(out).toContain(`resized ${target}/frog+64x64.png\n`)
    expect(out).toContain(`saved ${target}/small+64x64.png\n`)
    expect(out).toMatch(/wrote 4 files of 2 pictures to .*out\n$/)
  })

  it('crops around the centre to what is divisible, with the method that was asked for', async () => {
    const source = await makeFolder({ 'frog.bmp': [100, 60] })
    const target = await makeFolder()
    const args = ['--max_resolution', '64x64', '--divisible_by', '16', '--interpolation', 'cubic', '--save_as_png']
    expect((await runWith('resize-images', source, target, ...args)).code).toBe(exitCodes.ok)
    const { width, height, pixels } = await decodeImage(join(target, 'frog+64x64.png'))
    expect([width, height]).toEqual([80, 48])
    const whole = (await expectedPixels([100, 60], 82, 49, 'cubic')) as Uint8Array
    const rows = Array.from({ length: 48 }, (_, y) => [...whole.subarray((y * 82 + 1) * 3, (y * 82 + 81) * 3)])
    expect([...pixels]).toEqual(rows.flat())
  })

  it('writes JPEG of quality 100 and copies what is no picture to it, associated files under each name too', async () => {
    const source = await makeFolder({
      'frog.jpg': [64, 64],
      'frog.txt': 'a frog',
      'frog.old.txt': 'old',
      'frogs.txt': 'many',
      'UPPER.PNG': [8, 8],
      'sub/x.png': [8, 8],
    })
    await symlink(join(source, 'sub'), join(source, 'link'))
    const target = await makeFolder({ 'frog+32x32.jpg': 'to be replaced' })
    const { err } = await runWith(
      'resize-images',
      source,
      target,
      '--max_resolution',
      '32x32,16x16',
      '--copy_associated_files',
    )
    expect((await readdir(target)).sort()).toEqual([
      'UPPER.PNG',
      'frog+16x16.jpg',
      'frog+16x16.old.txt',
      'frog+16x16.txt',
      'frog+32x32.jpg',
      'frog+32x32.old.txt',
      'frog+32x32.txt',
      'frog.old.txt',
      'frog.txt',
      'frogs.txt',
    ])
    expect(await readFile(join(target, 'frog+16x16.txt'), 'utf8')).toBe('a frog')
    expect(await readFile(join(target, 'UPPER.PNG'))).toEqual(await readFile(join(source, 'UPPER.PNG')))
    const { format, width, chromaSubsampling } = await sharp(join(target, 'frog+32x32.jpg')).metadata()
    expect({ format, width, chromaSubsampling }).toEqual({ format: 'jpeg', width: 32, chromaSubsampling: '4:2:0' })
    expect(err).toBe(
      `warning: ${source}/link: not copied, it is no file\nwarning: ${source}/sub: not copied, it is no file\n`,
    )
  })

  it('lists damaged pictures and those of which nothing would be left, after the others', async () => {
    const source = await makeFolder({ 'a.png': [64, 64], 'broken.png': 'no picture', 'line.png': [3000, 1] })
    const target = await makeFolder()
    const { code, err } = await runWith('resize-images', source, target, '--max_resolution', '10x10')
    expect(code).toBe(exitCodes.data)
    expect(err).toContain(`${source}/broken.png: not a`)
    expect(err).toContain(`${source}/line.png: 3000x1 pixels become 547x0 for 10x10`)
    expect(await readdir(target)).toEqual(['a+10x10.jpg'])
  })

  it.each([
    [['--interpolation', 'nearest'], "argument 'nearest' is invalid"],
    [['--max_resolution', '512'], '--max_resolution: expected sizes such as 512x512, found "512"'],
    [['--max_resolution', '0x5'], 'found "0x5"'],
    [['--max_resolution', '8x8,8x8'], '--max_resolution: expected different sizes'],
    [['--divisible_by', '0'], '--divisible_by must be a whole number from 1, found 0'],
    [['--divisible_by', '1.5'], 'found 1.5'],
  ])('refuses %j', async (args, message) => {
    const source = await makeFolder({ 'a.png': [8, 8] })
    const target = join(await makeFolder(), 'none')
    const { code, err } = await runWith('resize-images', source, target, ...args)
    expect(code).toBe(exitCodes.usage)
    expect(err).toContain(message)
    await expect(readdir(target)).rejects.toThrow('ENOENT')
  })

  it('refuses to write two files of one name, and into the folder that it reads', async () => {
    const source = await makeFolder({ 'a.png': [8, 8], 'a.jpg': [8, 8] })
    const target = await makeFolder()
    const { code, err } = await runWith('resize-images', source, target, '--max_resolution', '8x8')
    expect(code).toBe(exitCodes.usage)
    expect(err).toContain('a.jpg and a.png would both be written as a+8x8.jpg')
    expect(await readdir(target)).toEqual([])
    const same = await runWith('resize-images', source, `${source}/.`)
    expect(same.err).toContain('must be another than the one that is read')
    await writeFile(join(target, 'file'), '')
    await symlink('gone', join(target, 'broken'))
    const unreadable = await runWith('resize-images', target, join(source, 'out'))
    expect(unreadable.code).toBe(exitCodes.io)
    expect(unreadable.err).toContain(`${target}/broken: cannot read: no such file`)
    expect((await runWith('resize-images', join(target, 'file'), source)).code).toBe(exitCodes.data)
  })
})
