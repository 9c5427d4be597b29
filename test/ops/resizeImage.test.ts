import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { addon } from '../../lib/native/load.ts'
import { type ResizeMethod, resizeImage } from '../../lib/ops/resizeImage.ts'
import { full, tensor, zeros } from '../../lib/tensor/create.ts'
import { cpuTargets, memory, setCpuTarget, setThreadCount } from '../../lib/tensor/runtime.ts'
import { loadFixture } from '../support/fixtureCases.ts'

interface ResizeFixture {
  readonly cases: readonly {
    readonly name: string
    /** Height and width. */
    readonly from: readonly [number, number]
    readonly to: readonly [number, number]
    readonly channels: number
    readonly method: ResizeMethod
    /** base64 */
    readonly pixels: string
  }[]
}

const { cases } = loadFixture<ResizeFixture>('resize/images.json')

/** The picture of scripts/reference/resize.py. */
function sourcePixels([height, width]: readonly [number, number], channels: number): Uint8Array {
  const pixels = new Uint8Array(height * width * channels)
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++)
      for (let c = 0; c < channels; c++)
        pixels[(y * width + x) * channels + c] =
          Math.floor((y * y * 7 + x * x * 3 + x * y * 5) / 8) + c * 85 + ((x * 31 + y * 17) % 23)
  return pixels
}

beforeAll(() => addon.setMemoryGuards(true))
afterAll(() => {
  addon.setMemoryGuards(false)
  setThreadCount(2)
})

describe.each(cpuTargets())('resizeImage on %s', (target) => {
  it.each(cases)(
    'agrees with the reference, $name',
    async ({ from, to: [height, width], channels, method, pixels }) => {
      setCpuTarget(target)
      const expected = new Uint8Array(Buffer.from(pixels, 'base64'))
      const source = sourcePixels(from, channels)
      for (const threads of [1, 2]) {
        setThreadCount(threads)
        const y = resizeImage(tensor(source, [...from, channels]), { width, height, method })
        expect(y.shape).toEqual([height, width, channels])
        const actual = (await y.read()) as Uint8Array
        let different = 0
        actual.forEach((x, i) => {
          if (x !== expected[i]) different++
          if (Math.abs(x - expected[i]!) > 1) throw new Error(`element ${i} is ${x}, expected ${expected[i]}`)
        })
        // Means of areas are added up in another order than OpenCV's: a sum beside a half may round to the other side. Its cubic rows
        // are added up in float32.
        const share = method === 'area' ? 1 / 1000 : method === 'cubic' ? 1 / 20 : 0
        expect(different).toBeLessThanOrEqual(expected.length * share)
      }
      // A window of the same picture, on another thread, has the same bits.
      const [top, left] = [height >> 1, width >> 2]
      const [rows, columns] = [height - top, (width - left + 1) >> 1]
      const whole = (await resizeImage(tensor(source, [...from, channels]), {
        width,
        height,
        method,
      }).read()) as Uint8Array
      const numbers = [...from, channels, height, width, top, left, rows, columns]
      const window = new Uint8Array(await addon.resizePicture(source, numbers, method))
      const rowBytes = columns * channels
      for (let y = 0; y < rows; y++) {
        const start = ((top + y) * width + left) * channels
        expect(window.subarray(y * rowBytes, (y + 1) * rowBytes)).toEqual(whole.subarray(start, start + rowBytes))
      }
      expect(memory().guardViolations).toBe(0)
    },
  )
})

describe('resizeImage', () => {
  it('keeps one colour', async () => {
    const image = full([37, 53, 3], 201, { dtype: 'uint8' })
    for (const method of ['area', 'nearest', 'linear', 'cubic', 'lanczos', 'lanczos3', 'box'] as const)
      for (const [width, height] of [
        [20, 30],
        [90, 70],
      ] as const)
        expect(new Set((await resizeImage(image, { width, height, method }).read()) as Uint8Array)).toEqual(
          new Set([201]),
        )
  })
  it('rejects a method it does not know, offering the nearest', () => {
    expect(() =>
      resizeImage(zeros([2, 2, 3], { dtype: 'uint8' }), { width: 1, height: 1, method: 'lanczos4' as 'lanczos' }),
    ).toThrow(
      'resizeImage: method must be one of area, nearest, linear, cubic, lanczos, lanczos3, box, received "lanczos4". Did you mean "lanczos"?',
    )
  })
  it('rejects pictures of two or four channels', () => {
    expect(() => resizeImage(zeros([2, 2, 4], { dtype: 'uint8' }), { width: 1, height: 1 })).toThrow(
      'resizeImage: image must be of 1 or 3 channels, received 4 channels',
    )
  })
})

describe('resizePicture', () => {
  it('rejects pixels that are not those of the picture', () => {
    expect(() => addon.resizePicture(new Uint8Array(11), [2, 2, 3, 1, 1, 0, 0, 1, 1], 'area')).toThrow(
      'expected 12 bytes, received 11',
    )
  })
  it('rejects a window beyond the picture', () => {
    expect(() => addon.resizePicture(new Uint8Array(12), [2, 2, 3, 1, 1, 0, 1, 1, 1], 'area')).toThrow(
      'the window must lie within the picture',
    )
  })
})
