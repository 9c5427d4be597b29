import { addon } from '../native/load.ts'
import { markCall } from '../tensor/callSite.ts'
import { formatShape, sameShape } from '../tensor/shape.ts'
import { type Tensor, wrap } from '../tensor/tensor.ts'
import { ArgumentError } from '../util/errors.ts'
import { expectListOnOneDevice } from './check.ts'

/**
 * Joins tensors along their first axis. They must agree in dtype and all other axes. Not differentiable: batches are data.
 * @throws ArgumentError for an empty list or tensors that do not fit together
 */
export function concatBatch(parts: readonly Tensor[]): Tensor {
  const [first] = parts
  if (first === undefined) throw new ArgumentError('concatBatch', 'parts', 'one tensor or more', 'none')
  parts.forEach((part, i) => {
    if (part.dtype !== first.dtype || !sameShape(part.shape.slice(1), first.shape.slice(1)) || part.rank === 0)
      throw new ArgumentError(
        'concatBatch',
        `parts[${i}]`,
        `${first.dtype} of shape [n, ${first.shape.slice(1).join(', ')}]`,
        `${part.dtype} ${formatShape(part.shape)}`,
      )
    if (!part.contiguous)
      throw new ArgumentError(
        'concatBatch',
        `parts[${i}]`,
        'contiguous (call contiguous(x))',
        `strides ${formatShape(part.strides)}`,
      )
  })
  expectListOnOneDevice('concatBatch', 'parts', parts)
  markCall()
  return wrap(addon.concatBatchForward(parts.map((part) => part.handle)))
}
