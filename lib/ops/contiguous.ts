import { defineOp } from '../autograd/defineOp.ts'
import { addon } from '../native/load.ts'
import { share, type Tensor, wrap } from '../tensor/tensor.ts'

/**
 * The elements of `x` packed in row-major order: a copy of a strided view, or another reference to the same memory when `x` is packed already.
 * @param x at most six axes that cannot be merged, any dtype
 */
export const contiguous = defineOp<readonly [x: Tensor], readonly [], Record<never, never>>('contiguous', {
  inputs: ['x'],
  strided: true,
  forward([x], _options, save) {
    save()
    return x.contiguous ? share(x) : wrap(addon.contiguousForward(x.handle))
  },
  backward: (dy) => [dy],
})
