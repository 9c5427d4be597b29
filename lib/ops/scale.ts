import { defineOp } from '../autograd/defineOp.ts'
import { addon } from '../native/load.ts'
import { type Tensor, wrap } from '../tensor/tensor.ts'
import { expectFloat, expectOption } from './check.ts'

export interface ScaleOptions {
  /** What every element is multiplied by; used in float32. */
  readonly factor: number
}

/**
 * `factor * x`.
 * @returns a tensor like `x`
 */
export const scale = defineOp<readonly [x: Tensor], readonly [], ScaleOptions>('scale', {
  inputs: ['x'],
  check([x], { factor }) {
    expectFloat('scale', 'x', x)
    expectOption('scale', 'factor', Number.isFinite(factor), 'a finite number', factor)
  },
  forward([x], { factor }, save) {
    save()
    return wrap(addon.scaleForward(x.handle, factor))
  },
  backward: (dy, _saved, { factor }) => [wrap(addon.scaleForward(dy.handle, factor))],
})
