import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { addon } from '../../lib/native/load.ts'
import { type ResizeMethod, resizeImage } from '../../lib/ops/resizeImage.ts'
import { full, tensor, zeros } from '../../lib/tensor/create.ts'
import { cpuTargets, memory, setCpuTarget, setThreadCount } from '../../lib/tensor/runtime.ts'
import type { Tensor } from '../../lib/tensor/tensor.ts'
import { loadFixture } from '../support/fixtureCases.ts'

interface ResizeFixture {
  readonly cases: readonly {
    readonly name: string
    /** Height and width. */
    readonly from: readonly [number, number]
    readonly to: readonly [number, number]
    readonly method: ResizeMethod
    /** base64 */
    readonly pixels: string
  }[]
}

const { cases } = loadFixture<ResizeFixture>('resize/images.json')

/** The picture of scripts/reference/resize.py. */
function source([height, width]: readonly [number, number]): Tensor {
  const pixels = new Uint8Array(height * width * 3)
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++)
      for (let c = 0; c < 3; c++)
        pixels[(y * width + x) * 3 + c] =
          Math.floor((y * y * 7 + x * x * 3 + x * y * 5) / 8) + c * 85 + ((x * 31 + y * 17) % 23)
  return tensor(pixels, [height, width, 3])
}

beforeAll(() => addon.setMemoryGuards(true))
afterAll(() => {
  addon.setMemoryGuards(false)
  setThreadCount(2)
})

describe.each(cpuTargets())('resizeImage on %s', (target) => {
  it.each(cases)('agrees with OpenCV, $name', async ({ from, to: [height, width], method, pixels }) => {
    setCpuTarget(target)
    const expected = new Uint8Array(Buffer.from(pixels, 'base64'))
    for (const threads of [1, 2]) {
      setThreadCount(threads)
      const y = resizeImage(source(from), { width, height, method })
      expect(y.shape).toEqual([height, width, 3])
      const actual = (await y.read()) as Uint8Array
      let different = 0
      actual.forEach((x, i) => {
        if (x !== expected[i]) different++
        if (Math.abs(x - expected[i]!) > 1) throw new Error(`element ${i} is ${x}, expected ${expected[i]}`)
      })
      expect(different).toBe(0)
    }
    expect(memory().guardViolations).toBe(0)
  })
})

describe('resizeImage', () => {
  it('keeps one colour', async () => {
    const image = full([37, 53, 3], 201, { dtype: 'uint8' })
    for (const method of ['area', 'lanczos'] as const)
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
    ).toThrow('resizeImage: method must be area or lanczos, received "lanczos4". Did you mean "lanczos"?')
  })
  it('rejects pictures that are not RGB', () => {
    expect(() => resizeImage(zeros([2, 2, 4], { dtype: 'uint8' }), { width: 1, height: 1 })).toThrow(
      'resizeImage: image must be of shape [2, 2, 3], received [2, 2, 4]',
    )
  })
})
