/** Loss masks from the opacity of pictures. */
import type { CropPlan } from '../data/cropPlan.ts'
import type { DecodedImage } from '../data/image.ts'
import { type ResizeMethod, resizeImage } from '../ops/resizeImage.ts'
import { tensor } from '../tensor/create.ts'
import { ArgumentError } from '../util/errors.ts'

/** A mask in pixels, [h, w], each 0 to 1. */
export interface Mask {
  readonly width: number
  readonly height: number
  readonly values: Float32Array
}

/** The mask of a picture that is opaque everywhere. */
export function opaqueMask(width: number, height: number): Mask {
  return { width, height, values: new Float32Array(width * height).fill(1) }
}

/** The opacity of a picture in its training size: resized, cropped and mirrored as its colours are. */
export async function alphaMask(
  { width, height, alpha }: DecodedImage,
  { resized, left, top, target }: CropPlan,
  flip: boolean,
  method: ResizeMethod,
): Promise<Mask> {
  if (alpha === undefined) return opaqueMask(target.width, target.height)
  const whole =
    resized.width === width && resized.height === height
      ? alpha
      : await resizeAlpha(alpha, width, height, resized, method)
  const values = new Float32Array(target.width * target.height)
  for (let y = 0; y < target.height; y++) {
    const from = (top + y) * resized.width + left
    for (let x = 0; x < target.width; x++) {
      const at = flip ? target.width - 1 - x : x
      values[y * target.width + at] = whole[from + x]! / 255
    }
  }
  return { ...target, values }
}

/** Three channels alike, since that is what can be resized; the first of them is taken. */
async function resizeAlpha(
  alpha: Uint8Array,
  width: number,
  height: number,
  size: { readonly width: number; readonly height: number },
  method: ResizeMethod,
): Promise<Uint8Array> {
  const grey = new Uint8Array(alpha.length * 3)
  for (let i = 0; i < alpha.length; i++) grey.fill(alpha[i]!, i * 3, i * 3 + 3)
  const picture = tensor(grey, [height, width, 3])
  const fitted = resizeImage(picture, { width: size.width, height: size.height, method })
  try {
    const pixels = (await fitted.read()) as Uint8Array
    return Uint8Array.from({ length: size.width * size.height }, (_, i) => pixels[i * 3]!)
  } finally {
    picture.dispose()
    fitted.dispose()
  }
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
