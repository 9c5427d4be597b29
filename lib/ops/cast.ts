import { defineOp } from '../autograd/defineOp.ts'
import { addon } from '../native/load.ts'
import { type DType, dtypes, isFloat } from '../tensor/dtype.ts'
import { type Tensor, wrap } from '../tensor/tensor.ts'
import { ArgumentError } from '../util/errors.ts'
import { didYouMean } from '../util/nearest.ts'
import { saveLikeness } from './likeness.ts'

export interface CastOptions {
  /** Element type of the result. */
  readonly dtype: DType
}

/**
 * `x` in another element type. To floats of 16 and 8 bits numbers go to the nearest, ties to even; float8_e4m3fn holds up to 448, and
 * larger ones become that, as in PyTorch; floats become integers towards zero, held within the
 * integer's range, NaN as 0; bool says whether an element is not 0. Gradients flow between float types only.
 */
export const cast = defineOp<readonly [x: Tensor], readonly [x: Tensor], CastOptions>('cast', {
  inputs: ['x'],
  check([x], { dtype }) {
    if (!dtypes.includes(dtype))
      throw new ArgumentError('cast', 'dtype', `one of ${dtypes.join(', ')}`, `${dtype}${didYouMean(dtype, dtypes)}`)
    if (x.tracked && !isFloat(dtype))
      throw new ArgumentError('cast', 'dtype', 'a float type where a gradient is wanted', dtype)
  },
  forward([x], { dtype }, save, needs) {
    saveLikeness(x, needs[0], save)
    return wrap(addon.castForward(x.handle, dtype))
  },
  backward: (dy, [x]) => [wrap(addon.castForward(dy.handle, x.dtype))],
})
