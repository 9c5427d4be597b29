import { defineOp } from '../autograd/defineOp.ts'
import { addon } from '../native/load.ts'
import { type Tensor, wrap } from '../tensor/tensor.ts'
import { ArgumentError } from '../util/errors.ts'
import { didYouMean } from '../util/nearest.ts'
import { expectDType, expectFloat, expectRankAtLeast, expectShape } from './check.ts'

const types = ['l2', 'l1', 'huber', 'smooth_l1'] as const

/**
 * What a difference d costs, with the threshold c: `l2` d^2, `l1` |d|, `huber` 2c (sqrt(d^2 + c^2) - c), `smooth_l1`
 * 2 (sqrt(d^2 + c^2) - c). The last two are the smooth form of Huber's loss (Charbonnier et al., 1997): squares well below c, absolute
 * values well above.
 */
export type ElementLossType = (typeof types)[number]

export interface ElementLossOptions {
  readonly type: ElementLossType
}

type Inputs = readonly [
  prediction: Tensor,
  target: Tensor,
  weights: Tensor | null,
  thresholds: Tensor | null,
  mask: Tensor | null,
]

/** The checks of all losses of a batch; the names are those of the inputs. */
export function expectLossInputs(
  op: string,
  prediction: Tensor,
  others: Readonly<Record<string, Tensor | null>>,
): void {
  expectRankAtLeast(op, 'prediction', prediction, 1)
  expectFloat(op, 'prediction', prediction)
  const shapes: Readonly<Record<string, readonly number[]>> = {
    target: prediction.shape,
    mask: prediction.shape.slice(0, -1),
  }
  for (const [name, input] of Object.entries(others)) {
    if (input === null) continue
    if (name === 'target') expectFloat(op, name, input)
    else expectDType(op, name, input, 'float32')
    expectShape(op, name, input, shapes[name] ?? [prediction.dim(0)])
    if (input.tracked)
      throw new ArgumentError(op, name, 'without a gradient', 'a tensor that gradients are recorded for')
  }
}

/**
 * The weighted mean loss of a batch, `1/n sum_n w_n mean(mask_n l(prediction_n - target_n))`, computed in one pass with float64
 * totals. What the mask leaves out counts as no error, and the mean is over all of the sample. The gradient flows to `prediction`
 * alone; that of `l1` is 0 where there is no difference.
 * @param prediction [n, ..., c]
 * @param target same shape; it must not require a gradient
 * @param weights float32 [n], or null for ones
 * @param thresholds float32 [n], positive, for `huber` and `smooth_l1`; null for the others
 * @param mask float32, the shape of `prediction` without its last axis, or null for ones
 * @returns float32 []
 */
export const elementLoss = defineOp<Inputs, Inputs, ElementLossOptions>('elementLoss', {
  inputs: ['prediction', 'target', 'weights', 'thresholds', 'mask'],
  check([prediction, target, weights, thresholds, mask], { type }) {
    if (!types.includes(type))
      throw new ArgumentError('elementLoss', 'type', types.join(' or '), `"${type}".${didYouMean(type, types)}`)
    expectLossInputs('elementLoss', prediction, { target, weights, thresholds, mask })
    const bends = type === 'huber' || type === 'smooth_l1'
    if (bends !== (thresholds !== null))
      throw new ArgumentError(
        'elementLoss',
        'thresholds',
        bends ? `a Tensor for ${type}` : `null for ${type}`,
        bends ? 'null' : 'a Tensor',
      )
  },
  forward([prediction, target, weights, thresholds, mask], { type }, save) {
    save(prediction, target, weights, thresholds, mask)
    const kind = types.indexOf(type)
    return wrap(
      addon.elementLossForward(
        prediction.handle,
        target.handle,
        weights?.handle ?? null,
        thresholds?.handle ?? null,
        mask?.handle ?? null,
        kind,
      ),
    )
  },
  backward(dloss, [prediction, target, weights, thresholds, mask], { type }) {
    const gradient = addon.elementLossBackward(
      dloss.handle,
      prediction.handle,
      target.handle,
      weights?.handle ?? null,
      thresholds?.handle ?? null,
      mask?.handle ?? null,
      types.indexOf(type),
    )
    return [wrap(gradient), null, null, null, null]
  },
})
