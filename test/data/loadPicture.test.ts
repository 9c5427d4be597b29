import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import sharp, { type Sharp } from 'sharp'
import { describe, expect, it } from 'vitest'
import { chooseBucket } from '../../lib/data/buckets.ts'
import { type CropPlan, planCrop } from '../../lib/data/cropPlan.ts'
import { decodeImage } from '../../lib/data/image.ts'
import { loadPicture, type PictureResize, resizeMethod } from '../../lib/data/loadPicture.ts'
import { addon } from '../../lib/native/load.ts'
import { resizeImage } from '../../lib/ops/resizeImage.ts'
import { tensor } from '../../lib/tensor/create.ts'
import { DataError } from '../../lib/util/errors.ts'
import { makeFolder, noisePixels } from '../support/pictures.ts'

const plan: CropPlan = {
  source: { width: 150, height: 101 },
  resized: { width: 72, height: 48 },
  left: 4,
  top: 0,
  target: { width: 64, height: 48 },
}

/** Rows and columns of a picture, [h, w, c]. */
function cut(pixels: Uint8Array, channels: number, { resized, left, top, target }: CropPlan): Uint8Array {
  const result = new Uint8Array(target.width * target.height * channels)
  for (let y = 0; y < target.height; y++) {
    const start = ((top + y) * resized.width + left) * channels
    result.set(pixels.subarray(start, start + target.width * channels), y * target.width * channels)
  }
  return result
}

describe('loadPicture', () => {
  it.each<PictureResize>(['area', 'lanczos', 'lanczos3'])('resizes by %s and cuts out the window', async (method) => {
    const path = join(await makeFolder({ 'a.jpg': [150, 101] }), 'a.jpg')
    const { pixels } = await decodeImage(path)
    const resized = resizeImage(tensor(pixels, [101, 150, 3]), { ...plan.resized, method })
    const loaded = await loadPicture(path, plan, { method })
    expect(loaded).toEqual({ width: 64, height: 48, pixels: cut((await resized.read()) as Uint8Array, 3, plan) })
  })

  it('resizes opacity beside the colours', async () => {
    const rgba = sharp(noisePixels(150, 101), { raw: { width: 150, height: 101, channels: 3 } }).joinChannel(
      Buffer.from(noisePixels(150, 101).subarray(0, 150 * 101)),
      { raw: { width: 150, height: 101, channels: 1 } },
    )
    const path = join(await makeFolder({ 'a.png': await rgba.png().toBuffer() }), 'a.png')
    const { alpha } = await decodeImage(path, { alpha: true })
    const resized = resizeImage(tensor(alpha!, [101, 150, 1]), plan.resized)
    expect((await loadPicture(path, plan, { alpha: true })).alpha).toEqual(
      cut((await resized.read()) as Uint8Array, 1, plan),
    )
    expect(await loadPicture(path, plan)).not.toHaveProperty('alpha')
  })

  it('turns a photograph before it is cut', async () => {
    const noise = sharp(noisePixels(40, 24), { raw: { width: 40, height: 24, channels: 3 } })
    const folder = await makeFolder({ 'a.jpg': await noise.withMetadata({ orientation: 6 }).jpeg().toBuffer() })
    const upright = { width: 24, height: 40 }
    const crop = planCrop(upright, chooseBucket(upright, [{ width: 16, height: 24 }]))
    expect(await loadPicture(join(folder, 'a.jpg'), crop)).toMatchObject({ width: 16, height: 24 })
    await expect(loadPicture(join(folder, 'a.jpg'), crop, { ignoreExif: true })).rejects.toThrow('is now 40x24')
  })

  it('gives a picture of the training size as it is', async () => {
    const path = join(await makeFolder({ 'a.png': [64, 48] }), 'a.png')
    const same = { source: plan.target, resized: plan.target, left: 0, top: 0, target: plan.target }
    expect(await loadPicture(path, same)).toEqual(await decodeImage(path))
  })

  it('loads many at a time, each as it would alone', async () => {
    const folder = await makeFolder({ 'a.png': [150, 101] })
    const alone = await loadPicture(join(folder, 'a.png'), plan)
    const together = await Promise.all(Array.from({ length: 12 }, () => loadPicture(join(folder, 'a.png'), plan)))
    for (const picture of together) expect(picture).toEqual(alone)
  })

  it('reports a picture that changed, is damaged, or a plan that is none', async () => {
    const folder = await makeFolder({ 'a.png': [150, 100], 'b.png': 'text' })
    await expect(loadPicture(join(folder, 'a.png'), plan)).rejects.toThrow(
      'the picture is now 150x100 but was 150x101 at the start: do not change pictures during training',
    )
    await expect(loadPicture(join(folder, 'b.png'), plan)).rejects.toBeInstanceOf(DataError)
    await writeFile(join(folder, 'c.png'), '')
    await expect(loadPicture(join(folder, 'c.png'), { ...plan, left: 9 })).rejects.toThrow(
      'loadPicture: plan must be a window inside the resized picture (72x48), received 64x48 at 9,0',
    )
  })
})

describe.runIf(process.platform === 'linux')('a JPEG, a few rows at a time', () => {
  const noise = (width: number, height: number): Sharp =>
    sharp(noisePixels(width, height), { raw: { width, height, channels: 3 } })

  it.each([
    ['area', [203, 311], [70, 107], [3, 2, 64, 96], {}],
    ['area', [203, 311], [203, 107], [3, 41, 200, 60], { chromaSubsampling: '4:4:4' }],
    ['area', [192, 320], [64, 80], [0, 9, 64, 64], { progressive: true }],
    ['area', [65, 47], [130, 94], [2, 0, 128, 94], {}],
    ['area', [65, 1], [65, 9], [0, 0, 64, 9], {}],
    ['lanczos', [203, 311], [70, 400], [3, 70, 64, 320], {}],
    ['nearest', [203, 311], [70, 107], [3, 2, 64, 96], {}],
    ['linear', [203, 311], [300, 107], [3, 2, 64, 96], {}],
    ['cubic', [203, 311], [70, 400], [3, 70, 64, 320], {}],
    ['box', [203, 311], [70, 107], [3, 2, 64, 96], {}],
    ['lanczos3', [203, 311], [70, 107], [3, 2, 64, 96], {}],
    ['lanczos3', [203, 311], [300, 460], [0, 60, 300, 400], {}],
  ] as const)('is resized by %s from %j to %j, window %j, as when it is decoded first', async (...one) => {
    const [method, [width, height], [toWidth, toHeight], [left, top, columns, rows], options] = one
    const bytes = await noise(width, height).jpeg(options).toBuffer()
    const { pixels } = await decodeImage(join(await makeFolder({ 'a.jpg': bytes }), 'a.jpg'))
    const numbers = [height, width, 3, toHeight, toWidth, top, left, rows, columns]
    const streamed = await addon.resizeEncoded(bytes, [...numbers, 1], method)
    expect(streamed).not.toBeNull()
    const whole = await addon.resizePicture(pixels, numbers, method)
    expect(Buffer.compare(Buffer.from(streamed!), Buffer.from(whole))).toBe(0)
  })

  /** Sizes of the upright picture, as `numbers` of the addon has them. */
  const turnedCases = [
    ['area', [101, 150], [40, 61], [1, 2, 37, 57]], // both sides shrink, by no whole factor
    ['area', [96, 144], [32, 24], [0, 0, 32, 24]], // by whole factors
    ['area', [33, 70], [50, 91], [3, 5, 44, 81]], // both grow
    ['lanczos', [101, 35], [40, 61], [1, 2, 37, 57]],
    ['lanczos3', [101, 150], [40, 61], [1, 2, 37, 57]],
    ['lanczos3', [33, 19], [50, 40], [3, 1, 44, 37]],
    ['nearest', [101, 150], [40, 61], [1, 2, 37, 57]],
    ['linear', [101, 35], [40, 61], [1, 2, 37, 57]],
    ['linear', [96, 144], [48, 72], [1, 2, 37, 57]], // halved: by averages
    ['cubic', [101, 35], [40, 61], [1, 2, 37, 57]],
    ['box', [101, 150], [40, 61], [1, 2, 37, 57]],
  ] as const

  it.each([1, 2, 3, 4, 5, 6, 7, 8])('turned as orientation %i says has the bits of the whole picture', async (turn) => {
    for (const [method, [height, width], to, [top, left, rows, columns]] of turnedCases) {
      const onItsSide = turn >= 5
      const stored = onItsSide ? noise(height, width) : noise(width, height)
      const bytes = await stored.withMetadata({ orientation: turn }).jpeg().toBuffer()
      const whole = await decodeImage(join(await makeFolder({ 'a.jpg': bytes }), 'a.jpg'))
      expect(whole).toMatchObject({ width, height })
      const numbers = [height, width, 3, ...to, top, left, rows, columns]
      const expected = await addon.resizePicture(whole.pixels, numbers, method)
      const streamed = await addon.resizeEncoded(bytes, [...numbers, turn], method)
      expect(streamed, `${method} to ${to}`).not.toBeNull()
      expect(Buffer.compare(Buffer.from(streamed!), Buffer.from(expected)), `${method} to ${to}`).toBe(0)
    }
  })

  it('is left to the slow way when it is damaged, even below the window, grey, or of another size', async () => {
    const numbers = [160, 96, 3, 80, 48, 0, 0, 16, 48, 1]
    const bytes = await noise(96, 160).jpeg().toBuffer()
    expect(await addon.resizeEncoded(bytes, numbers, 'area')).not.toBeNull()
    expect(await addon.resizeEncoded(bytes.subarray(0, bytes.length - 400), numbers, 'area')).toBeNull()
    expect(await addon.resizeEncoded(bytes, [159, ...numbers.slice(1)], 'area')).toBeNull()
    expect(
      await addon.resizeEncoded(await noise(96, 160).toColourspace('b-w').jpeg().toBuffer(), numbers, 'area'),
    ).toBeNull()
    expect(await addon.resizeEncoded(Buffer.from('text'), numbers, 'area')).toBeNull()
    expect(() => addon.resizeEncoded(bytes, [160, 96, 1, 80, 48, 0, 0, 16, 48, 1], 'area')).toThrow('three channels')
    expect(() => addon.resizeEncoded(bytes, [...numbers.slice(0, 9), 9], 'area')).toThrow('an orientation of 1 to 8')
  })

  it('refuses data that decode to another picture, and takes oddities that change none', async () => {
    const bytes = await noise(150, 101).jpeg().toBuffer()
    const middle = bytes.length >> 1
    const several = await noise(150, 101).jpeg({ progressive: true }).toBuffer()
    const scan = several.indexOf(Buffer.from([0xff, 0xda]))
    const next = several.indexOf(Buffer.from([0xff, 0xda]), scan + 2)
    const tables = several.indexOf(Buffer.from([0xff, 0xc4]), scan + 2)
    const end = tables < 0 ? next : Math.min(tables, next)
    const folder = await makeFolder({
      // An end in the middle, and markers where there are none.
      'ended.jpg': Buffer.concat([bytes.subarray(0, middle), Buffer.from([0xff, 0xd9])]),
      'changed.jpg': bytes.map((byte, at) => (at > middle && at < middle + 60 && at % 2 ? 0xff : byte)),
      'several.jpg': several,
      // Bytes between two scans, which belong to none.
      'odd.jpg': Buffer.concat([several.subarray(0, end), Buffer.from([0, 1, 2, 3]), several.subarray(end)]),
    })
    for (const name of ['ended.jpg', 'changed.jpg']) {
      const path = join(folder, name)
      await expect(decodeImage(path), name).rejects.toThrow('the JPEG image is damaged or cut short (VipsJpeg: Corrupt')
      await expect(loadPicture(path, plan), name).rejects.toThrow('the JPEG image is damaged or cut short')
    }
    const whole = await loadPicture(join(folder, 'several.jpg'), plan)
    expect(await loadPicture(join(folder, 'odd.jpg'), plan)).toEqual(whole)
    await expect(sharp(join(folder, 'odd.jpg'), { failOn: 'warning' }).raw().toBuffer()).rejects.toThrow('extraneous')
  })

  it('names the damage', async () => {
    const bytes = await noise(150, 101).jpeg().toBuffer()
    const path = join(await makeFolder({ 'a.jpg': bytes.subarray(0, bytes.length - 900) }), 'a.jpg')
    await expect(loadPicture(path, plan)).rejects.toThrow('the JPEG image is damaged or cut short')
  })
})

describe('resizeMethod', () => {
  const plan = (source: [number, number], resized: [number, number]): CropPlan => {
    const [size, fitted] = [source, resized].map(([width, height]) => ({ width, height }))
    return { source: size!, resized: fitted!, left: 0, top: 0, target: fitted! }
  }

  it.each([
    ['area', [10, 10], [20, 20], 'area'],
    ['lanczos', [20, 20], [10, 10], 'lanczos3'],
    ['nearest', [20, 20], [10, 10], 'nearest'],
    ['bilinear', [20, 20], [10, 10], 'linear'],
    ['linear', [10, 10], [20, 20], 'linear'],
    ['bicubic', [20, 20], [10, 10], 'cubic'],
    ['cubic', [10, 10], [20, 20], 'cubic'],
    ['box', [20, 20], [10, 10], 'box'],
    ['auto', [20, 20], [10, 10], 'area'],
    ['auto', [10, 20], [10, 10], 'area'],
    ['auto', [10, 20], [11, 10], 'lanczos3'],
    ['auto', [10, 10], [20, 20], 'lanczos3'],
  ] as const)('of %s from %j to %j is that of sd-scripts', (interpolation, source, resized, method) => {
    expect(resizeMethod(interpolation, plan([...source], [...resized]))).toBe(method)
  })
})
