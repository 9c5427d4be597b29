import { noGrad } from '../autograd/tape.ts'
import { addon } from '../native/load.ts'
import { markCall } from '../tensor/callSite.ts'
import { scope } from '../tensor/scope.ts'
import { type Tensor, wrap } from '../tensor/tensor.ts'
import { ArgumentError } from '../util/errors.ts'
import { expectDType, expectListOnOneDevice } from './check.ts'
import { slice } from './slice.ts'

/**
 * The Euclidean norm of all gradients together and the factor that limits it, `min(1, maxNorm / (norm + 1e-6))`. Both stay on the
 * device: optimizers read them there. Where the tensors are a multiple of the gradients, as those of a scaled loss are, the norm is
 * that of the gradients, and the factor takes the multiple back too.
 * @param gradients contiguous float32 tensors, at least one
 * @param maxNorm default Infinity: no limit
 * @param multiple what the gradients were multiplied by. Default 1
 * @returns float32 [2]: norm, factor
 */
export function gradientNorm(gradients: readonly Tensor[], maxNorm = Number.POSITIVE_INFINITY, multiple = 1): Tensor {
  if (gradients.length === 0) throw new ArgumentError('gradientNorm', 'gradients', 'at least one tensor', 'none')
  if (!(maxNorm > 0)) throw new ArgumentError('gradientNorm', 'maxNorm', 'positive', String(maxNorm))
  if (!(multiple > 0 && Number.isFinite(multiple)))
    throw new ArgumentError('gradientNorm', 'multiple', 'positive and finite', String(multiple))
  for (const gradient of gradients) {
    expectDType('gradientNorm', 'gradients', gradient, 'float32')
    if (!gradient.contiguous) throw new ArgumentError('gradientNorm', 'gradients', 'contiguous', 'a strided view')
  }
  expectListOnOneDevice('gradientNorm', 'gradients', gradients)
  markCall()
  return wrap(
    addon.gradientNorm(
      gradients.map((gradient) => gradient.handle),
      maxNorm,
      multiple,
    ),
  )
}

/**
 * The norm of all gradients, from those of its parts, without a limit.
 * @param norms what `gradientNorm` returned for each, at least one
 * @returns as `gradientNorm`
 */
export function jointNorm(norms: readonly Tensor[]): Tensor {
  return noGrad(() => scope(() => gradientNorm(norms.map((norm) => slice(norm, { axis: 0, start: 0, end: 1 })))))
}
