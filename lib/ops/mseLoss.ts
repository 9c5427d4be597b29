import { defineOp } from '../autograd/defineOp.ts'
import { addon } from '../native/load.ts'
import { type Tensor, wrap } from '../tensor/tensor.ts'
import { ArgumentError } from '../util/errors.ts'
import { expectDType, expectFloat, expectRankAtLeast, expectShape } from './check.ts'

type Inputs = readonly [prediction: Tensor, target: Tensor, weights: Tensor | null]

/**
 * The weighted mean squared error of a batch, `1/n sum_n w_n mean((prediction_n - target_n)^2)`, computed in one pass with
 * float64 totals. The gradient flows to `prediction` alone.
 * @param prediction [n, ...]
 * @param target same shape; it must not require a gradient
 * @param weights float32 [n], or null for ones
 * @returns float32 []
 */
export const mseLoss = defineOp<Inputs, Inputs, Record<never, never>>('mseLoss', {
  inputs: ['prediction', 'target', 'weights'],
  check([prediction, target, weights]) {
    expectRankAtLeast('mseLoss', 'prediction', prediction, 1)
    expectFloat('mseLoss', 'prediction', prediction)
    expectFloat('mseLoss', 'target', target)
    expectShape('mseLoss', 'target', target, prediction.shape)
    if (weights) {
      expectDType('mseLoss', 'weights', weights, 'float32')
      expectShape('mseLoss', 'weights', weights, [prediction.dim(0)])
    }
    for (const [name, input] of [['target', target] as const, ['weights', weights] as const])
      if (input?.tracked)
        throw new ArgumentError('mseLoss', name, 'without a gradient', 'a tensor that gradients are recorded for')
  },
  forward([prediction, target, weights], _options, save) {
    save(prediction, target, weights)
    return wrap(addon.mseLossForward(prediction.handle, target.handle, weights?.handle ?? null))
  },
  backward(dloss, [prediction, target, weights]) {
    const gradient = addon.mseLossBackward(dloss.handle, prediction.handle, target.handle, weights?.handle ?? null)
    return [wrap(gradient), null, null]
  },
})
