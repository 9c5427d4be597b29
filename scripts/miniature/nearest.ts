/** Which of many pictures another one is nearest to. */
import type { RgbImage } from 'noisewright'
import type { Pictures } from './autoencoder.ts'

/** Pictures are compared at this width and height. */
const side = 16

/** Each picture shrunk to 16x16 by its means. */
export function smallPictures({ size, count, pixels }: Pictures): Float32Array[] {
  const bytes = size * size * 3
  return Array.from({ length: count }, (_, i) => shrink(pixels.subarray(i * bytes, (i + 1) * bytes), size))
}

/** How many pictures are at least as near to `drawn` as the one at `index`, by the squared differences of their pixels: 1 is best. */
export function rankOf(drawn: RgbImage, index: number, pictures: readonly Float32Array[]): number {
  const small = shrink(drawn.pixels, drawn.width)
  const distance = (other: Float32Array): number => other.reduce((sum, x, i) => sum + (x - small[i]!) ** 2, 0)
  const own = distance(pictures[index]!)
  return pictures.reduce((rank, picture, i) => (i !== index && distance(picture) <= own ? rank + 1 : rank), 1)
}

function shrink(pixels: Uint8Array, size: number): Float32Array {
  const block = size / side
  const small = new Float32Array(side * side * 3)
  for (let y = 0; y < size; y++)
    for (let x = 0; x < size; x++)
      for (let c = 0; c < 3; c++) {
        const cell = (Math.floor(y / block) * side + Math.floor(x / block)) * 3 + c
        small[cell]! += pixels[(y * size + x) * 3 + c]! / block ** 2
      }
  return small
}
