/** Loss masks from the opacity of pictures, or from pictures of their own. */
import type { DecodedImage } from '../../data/image.ts'
import { ArgumentError } from '../../util/errors.ts'

/** A mask in pixels, [h, w], each 0 to 1. */
export interface Mask {
  readonly width: number
  readonly height: number
  readonly values: Float32Array
}

/** The mask of a picture that counts everywhere. */
export function opaqueMask(width: number, height: number): Mask {
  return { width, height, values: new Float32Array(width * height).fill(1) }
}

/** The opacity of a picture in its training size; 1 everywhere where it has none. */
export function alphaMask({ width, height, alpha }: DecodedImage): Mask {
  if (alpha === undefined) return opaqueMask(width, height)
  return { width, height, values: shares(alpha, 1) }
}

/** The red of a picture that is a mask, in its training size. */
export function redMask({ width, height, pixels }: DecodedImage): Mask {
  return { width, height, values: shares(pixels, 3) }
}

/** Every so many bytes one, as a share of 255. */
function shares(bytes: Uint8Array, stride: number): Float32Array {
  const values = new Float32Array(bytes.length / stride)
  for (let i = 0; i < values.length; i++) values[i] = bytes[i * stride]! / 255
  return values
}

/**
 * A mask at the size of latents: the mean of each block, as PyTorch's area interpolation.
 * @param reduction pixels per latent; sides must be multiples of it
 */
export function reduceMask({ width, height, values }: Mask, reduction: number): Mask {
  if (width % reduction !== 0 || height % reduction !== 0)
    throw new ArgumentError('reduceMask', 'mask', `of sides divisible by ${reduction}`, `${width}x${height}`)
  const [w, h] = [width / reduction, height / reduction]
  const sums = new Float64Array(w * h)
  for (let y = 0; y < height; y++) {
    const row = Math.floor(y / reduction) * w
    for (let x = 0; x < width; x++) sums[row + Math.floor(x / reduction)]! += values[y * width + x]!
  }
  return { width: w, height: h, values: Float32Array.from(sums, (sum) => sum / reduction ** 2) }
}

/** Left and right change places. */
export function mirrorMask({ width, height, values }: Mask): Mask {
  const mirrored = new Float32Array(values.length)
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++) mirrored[y * width + x] = values[y * width + width - 1 - x]!
  return { width, height, values: mirrored }
}
