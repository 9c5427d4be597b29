import { defineOp } from '../autograd/defineOp.ts'
import { addon } from '../native/load.ts'
import { type Tensor, wrap } from '../tensor/tensor.ts'
import { ArgumentError } from '../util/errors.ts'
import { expectDType, expectOption, expectRank, expectShape } from './check.ts'

/** The part of a picture that is used, in its pixels. */
export interface ImageWindow {
  /** Default 0. */
  readonly left?: number
  readonly top?: number
  /** Default: all that is right of and below the corner. */
  readonly width?: number
  readonly height?: number
  /** Whether left and right change places. Default false. */
  readonly flip?: boolean
}

/**
 * A window of a picture as model input, in one pass: crop, mirror, `x / 127.5 - 1`. Not differentiable.
 * @param image uint8 [h, w, 3]
 * @returns float32 [1, height, width, 3] in [-1, 1]
 */
export const imageToTensor = defineOp<readonly [image: Tensor], readonly [], ImageWindow>('imageToTensor', {
  inputs: ['image'],
  check([image], options) {
    expectDType('imageToTensor', 'image', image, 'uint8')
    expectRank('imageToTensor', 'image', image, 3)
    const [h, w] = [image.dim(0), image.dim(1)]
    expectShape('imageToTensor', 'image', image, [h, w, 3])
    const { left, top, width, height } = resolve(image, options)
    for (const [name, value, least] of [
      ['left', left, 0],
      ['top', top, 0],
      ['width', width, 1],
      ['height', height, 1],
    ] as const)
      expectOption(
        'imageToTensor',
        name,
        Number.isInteger(value) && value >= least,
        `a whole number from ${least}`,
        value,
      )
    if (left + width > w || top + height > h)
      throw new ArgumentError(
        'imageToTensor',
        'window',
        `inside the ${w}x${h} image`,
        `${width}x${height} at ${left},${top}`,
      )
  },
  forward([image], options) {
    const { left, top, width, height } = resolve(image, options)
    return wrap(addon.imageToTensor(image.handle, left, top, width, height, options.flip ?? false))
  },
  backward: 'none',
})

function resolve(
  image: Tensor,
  { left = 0, top = 0, width, height }: ImageWindow,
): Required<Omit<ImageWindow, 'flip'>> {
  return { left, top, width: width ?? image.dim(1) - left, height: height ?? image.dim(0) - top }
}
