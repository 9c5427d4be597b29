import { addon } from '../native/load.ts'
import { markCall } from '../tensor/callSite.ts'
import { type Tensor, wrap } from '../tensor/tensor.ts'
import { ArgumentError } from '../util/errors.ts'
import { expectDType } from './check.ts'

/**
 * The Euclidean norm of all gradients together and the factor that limits it, `min(1, maxNorm / (norm + 1e-6))`. Both stay on the
 * device: optimizers read them there.
 * @param gradients contiguous float32 tensors, at least one
 * @param maxNorm default Infinity: no limit
 * @returns float32 [2]: norm, factor
 */
export function gradientNorm(gradients: readonly Tensor[], maxNorm = Number.POSITIVE_INFINITY): Tensor {
  if (gradients.length === 0) throw new ArgumentError('gradientNorm', 'gradients', 'at least one tensor', 'none')
  if (!(maxNorm > 0)) throw new ArgumentError('gradientNorm', 'maxNorm', 'positive', String(maxNorm))
  for (const gradient of gradients) {
    expectDType('gradientNorm', 'gradients', gradient, 'float32')
    if (!gradient.contiguous) throw new ArgumentError('gradientNorm', 'gradients', 'contiguous', 'a strided view')
  }
  markCall()
  return wrap(
    addon.gradientNorm(
      gradients.map((gradient) => gradient.handle),
      maxNorm,
    ),
  )
}
