import { cast } from '../ops/cast.ts'
import { mseLoss } from '../ops/mseLoss.ts'
import { mul } from '../ops/mul.ts'
import { tensor } from '../tensor/create.ts'
import { scope } from '../tensor/scope.ts'
import type { Tensor } from '../tensor/tensor.ts'

/**
 * `1/n sum_n w_n mean(mask_n * (prediction_n - target_n)^2)`: what the mask leaves out counts as error 0, and the mean is over all
 * of the picture. Both sides are multiplied by the root of the mask.
 *
 * @param prediction [n, h, w, c]
 * @param target float32 [n, h, w, c]
 * @param mask [n, h, w], each 0 to 1
 * @param weights float32 [n], or null for ones
 * @returns float32 []
 */
export function maskedLoss(prediction: Tensor, target: Tensor, mask: Float32Array, weights: Tensor | null): Tensor {
  return scope(() => {
    const [n, h, w] = prediction.shape as readonly [number, number, number, number]
    const root = tensor(mask.map(Math.sqrt), [n, h, w, 1])
    const masked = mul(cast(prediction, { dtype: 'float32' }), root)
    return mseLoss(masked, mul(cast(target, { dtype: 'float32' }), root), weights)
  })
}
