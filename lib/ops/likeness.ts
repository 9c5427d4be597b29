import { addon } from '../native/load.ts'
import { type Tensor, wrap } from '../tensor/tensor.ts'

/**
 * Saves, in place of `x`, a tensor with its shape and dtype and next to no memory: all that a backward needs of an input it only measures.
 * @internal
 */
export function saveLikeness(x: Tensor, needed: boolean, save: (like: Tensor) => void): void {
  if (!needed) return
  const one = addon.fill([1], x.dtype, 0, x.device)
  const like = wrap(
    addon.view(
      one,
      x.shape,
      x.shape.map(() => 0),
      0,
    ),
  )
  addon.dispose(one)
  save(like)
  like.dispose()
}
