import { defineOp } from '../autograd/defineOp.ts'
import { addon } from '../native/load.ts'
import { type Tensor, wrap } from '../tensor/tensor.ts'
import { ArgumentError } from '../util/errors.ts'
import { didYouMean } from '../util/nearest.ts'
import { expectDType, expectOption, expectRank, expectShape } from './check.ts'

const methods = ['area', 'lanczos'] as const

/**
 * `area`: the mean of the source under each pixel when shrinking; when either side grows, two taps with soft edges between pixels.
 * `lanczos`: eight taps of sinc(t) sinc(t/4), sharper when enlarging; not widened when shrinking.
 */
export type ResizeMethod = (typeof methods)[number]

export interface ResizeImageOptions {
  /** Pixels of the result. */
  readonly width: number
  readonly height: number
  /** Default area. */
  readonly method?: ResizeMethod
}

/**
 * A picture at another size, with the rounding of OpenCV's `INTER_AREA` and `INTER_LANCZOS4`. Not differentiable.
 * @param image uint8 [h, w, 3]
 * @returns uint8 [height, width, 3]
 */
export const resizeImage = defineOp<readonly [image: Tensor], readonly [], ResizeImageOptions>('resizeImage', {
  inputs: ['image'],
  check([image], { width, height, method = 'area' }) {
    expectDType('resizeImage', 'image', image, 'uint8')
    expectRank('resizeImage', 'image', image, 3)
    expectShape('resizeImage', 'image', image, [image.dim(0), image.dim(1), 3])
    for (const [name, size] of [['width', width] as const, ['height', height] as const])
      expectOption('resizeImage', name, Number.isInteger(size) && size > 0, 'a positive whole number', size)
    if (!methods.includes(method))
      throw new ArgumentError(
        'resizeImage',
        'method',
        methods.join(' or '),
        `"${method}".${didYouMean(method, methods)}`,
      )
  },
  forward: ([image], { width, height, method = 'area' }) =>
    wrap(addon.resizeImage(image.handle, height, width, method)),
  backward: 'none',
})
