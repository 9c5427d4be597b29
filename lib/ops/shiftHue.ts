import { defineOp } from '../autograd/defineOp.ts'
import { addon } from '../native/load.ts'
import { type Tensor, wrap } from '../tensor/tensor.ts'
import { expectDType, expectOption, expectRank, expectShape } from './check.ts'

export interface ShiftHueOptions {
  /** In OpenCV's 8-bit unit of hue, two degrees: 180 is a whole turn. */
  readonly shift: number
}

/**
 * A picture with its hues turned, saturation and value left as they are, in the arithmetic of OpenCV's 8-bit HSV: the turned hue is cut to a
 * whole number, as by a table. A shift of 0 changes nothing. Not differentiable.
 * @param image uint8 [h, w, 3], red first
 * @returns uint8 [h, w, 3]
 */
export const shiftHue = defineOp<readonly [image: Tensor], readonly [], ShiftHueOptions>('shiftHue', {
  inputs: ['image'],
  check([image], { shift }) {
    expectDType('shiftHue', 'image', image, 'uint8')
    expectRank('shiftHue', 'image', image, 3)
    expectShape('shiftHue', 'image', image, [image.dim(0), image.dim(1), 3])
    expectOption('shiftHue', 'shift', Number.isFinite(shift), 'a finite number', shift)
  },
  forward: ([image], { shift }) => wrap(addon.shiftHue(image.handle, shift)),
  backward: 'none',
})
