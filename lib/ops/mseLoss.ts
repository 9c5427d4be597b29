import { defineOp } from '../autograd/defineOp.ts'
import { addon } from '../native/load.ts'
import { type Tensor, wrap } from '../tensor/tensor.ts'
import { expectLossInputs } from './elementLoss.ts'

type Inputs = readonly [prediction: Tensor, target: Tensor, weights: Tensor | null]

/** Which loss of `elementLoss` the kernel computes: l2. */
const kind = 0

/**
 * The weighted mean squared error of a batch, `1/n sum_n w_n mean((prediction_n - target_n)^2)`: `elementLoss` of its commonest type. The
 * gradient flows to `prediction` alone.
 * @param prediction [n, ...]
 * @param target same shape; it must not require a gradient
 * @param weights float32 [n], or null for ones
 * @returns float32 []
 */
export const mseLoss = defineOp<Inputs, Inputs, Record<never, never>>('mseLoss', {
  inputs: ['prediction', 'target', 'weights'],
  check([prediction, target, weights]) {
    expectLossInputs('mseLoss', prediction, { target, weights })
  },
  forward([prediction, target, weights], _options, save) {
    save(prediction, target, weights)
    const weight = weights?.handle ?? null
    return wrap(addon.elementLossForward(prediction.handle, target.handle, weight, null, null, kind))
  },
  backward(dloss, [prediction, target, weights]) {
    const weight = weights?.handle ?? null
    const gradient = addon.elementLossBackward(dloss.handle, prediction.handle, target.handle, weight, null, null, kind)
    return [wrap(gradient), null, null]
  },
})
