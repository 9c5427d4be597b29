import { defineOp } from '../autograd/defineOp.ts'
import { addon } from '../native/load.ts'
import { type Tensor, wrap } from '../tensor/tensor.ts'
import { ArgumentError } from '../util/errors.ts'
import { didYouMean } from '../util/nearest.ts'
import { expectDType, expectOption, expectRank } from './check.ts'

const methods = ['area', 'nearest', 'linear', 'cubic', 'lanczos', 'lanczos3', 'box'] as const

/**
 * `area`: the mean of the source under each pixel when shrinking; when either side grows, two taps with soft edges between pixels.
 * `nearest`: the pixel that the middle lies in; on the border between two the later one.
 * `linear`, `cubic`: two and four taps each way; not widened when shrinking.
 * `lanczos`: eight taps of sinc(t) sinc(t/4), sharper when enlarging; not widened when shrinking.
 * `lanczos3`: six taps of sinc(t) sinc(t/3), widened when shrinking so that no pixel of the source is passed over.
 * `box`: the nearest pixel when enlarging, when shrinking the mean of those whose middles lie under the pixel.
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
 * A picture at another size: within one level of OpenCV's `INTER_AREA` and `INTER_CUBIC`, with the bits of its `INTER_LINEAR`,
 * `INTER_LANCZOS4` and, where no middle lies on a border, `INTER_NEAREST_EXACT`, and of Pillow's `LANCZOS` and `BOX` (which take the axes in
 * the other order where one grows and the other shrinks). Not differentiable.
 * @param image uint8 [h, w, c], three channels, or one: a mask, an opacity
 * @returns uint8 [height, width, c]
 */
export const resizeImage = defineOp<readonly [image: Tensor], readonly [], ResizeImageOptions>('resizeImage', {
  inputs: ['image'],
  check([image], { width, height, method = 'area' }) {
    expectDType('resizeImage', 'image', image, 'uint8')
    expectRank('resizeImage', 'image', image, 3)
    const channels = image.dim(2)
    if (channels !== 1 && channels !== 3)
      throw new ArgumentError('resizeImage', 'image', 'of 1 or 3 channels', `${channels} channels`)
    for (const [name, size] of [['width', width] as const, ['height', height] as const])
      expectOption('resizeImage', name, Number.isInteger(size) && size > 0, 'a positive whole number', size)
    if (!methods.includes(method))
      throw new ArgumentError(
        'resizeImage',
        'method',
        `one of ${methods.join(', ')}`,
        `"${method}".${didYouMean(method, methods)}`,
      )
  },
  forward: ([image], { width, height, method = 'area' }) =>
    wrap(addon.resizeImage(image.handle, height, width, method)),
  backward: 'none',
})
