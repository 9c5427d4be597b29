import { describe, expect, it } from 'vitest'
import { imageToTensor } from '../../lib/ops/imageToTensor.ts'
import { tensor, zeros } from '../../lib/tensor/create.ts'

const [height, width] = [40, 9]
const pixels = Uint8Array.from({ length: height * width * 3 }, (_, i) => (i * 37) % 256)
const image = tensor(pixels, [height, width, 3])

function value(y: number, x: number, c: number): number {
  return Math.fround(Math.fround(pixels[(y * width + x) * 3 + c]! / 127.5) - 1)
}

describe('imageToTensor', () => {
  it('maps bytes to [-1, 1]', async () => {
    const y = imageToTensor(tensor(new Uint8Array([0, 51, 255]), [1, 1, 3]))
    expect(y.shape).toEqual([1, 1, 1, 3])
    expect(await y.read()).toEqual(Float32Array.of(-1, Math.fround(0.4) - 1, 1))
  })
  it('takes a window', async () => {
    const y = imageToTensor(image, { left: 2, top: 3, width: 5, height: 36 })
    const actual = (await y.read()) as Float32Array
    for (let row = 0; row < 36; row++)
      for (let x = 0; x < 5; x++)
        for (let c = 0; c < 3; c++) expect(actual[(row * 5 + x) * 3 + c]).toBe(value(row + 3, x + 2, c))
  })
  it('mirrors inside the window', async () => {
    const y = imageToTensor(image, { left: 1, width: 4, height: 2, flip: true })
    const actual = (await y.read()) as Float32Array
    for (let x = 0; x < 4; x++) expect(actual[x * 3 + 1]).toBe(value(0, 4 - x, 1))
  })
  it('rejects a window outside the image', () => {
    expect(() => imageToTensor(image, { left: 5, width: 5 })).toThrow(
      'imageToTensor: window must be inside the 9x40 image, received 5x40 at 5,0',
    )
    expect(() => imageToTensor(image, { top: 40 })).toThrow(
      'imageToTensor: height must be a whole number from 1, received 0',
    )
  })
  it('rejects floats', () => {
    expect(() => imageToTensor(zeros([2, 2, 3]))).toThrow('imageToTensor: image must be uint8, received float32')
  })
})
