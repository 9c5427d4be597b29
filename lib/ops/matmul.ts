import { defineOp } from '../autograd/defineOp.ts'
import { addon } from '../native/load.ts'
import { formatShape, sameShape } from '../tensor/shape.ts'
import { type Tensor, wrap } from '../tensor/tensor.ts'
import { ArgumentError } from '../util/errors.ts'
import { expectFloat, expectRankAtLeast } from './check.ts'

export interface MatmulOptions {
  /** Use `a` as [..., k, m]. Default false. */
  readonly transposeA?: boolean
  /** Use `b` as [..., n, k]. Default false. */
  readonly transposeB?: boolean
}

type Inputs = readonly [a: Tensor, b: Tensor]

/**
 * Matrix product over leading axes, with float32 sums. `b` has the leading axes of `a`, or none: one matrix for all of them
 * (`a` is then not transposed).
 * @param a [..., m, k]
 * @param b [..., k, n]
 * @returns [..., m, n] with the dtype of `a`
 */
export const matmul = defineOp<Inputs, Inputs, MatmulOptions>('matmul', {
  inputs: ['a', 'b'],
  check([a, b], { transposeA = false, transposeB = false }) {
    expectFloat('matmul', 'a', a)
    expectFloat('matmul', 'b', b)
    expectRankAtLeast('matmul', 'a', a, 2)
    expectRankAtLeast('matmul', 'b', b, 2)
    const shared = b.rank === 2 && a.rank > 2
    if (shared && transposeA)
      throw new ArgumentError('matmul', 'b', `of rank ${a.rank} where a is transposed`, formatShape(b.shape))
    if (!shared && !sameShape(a.shape.slice(0, -2), b.shape.slice(0, -2)))
      throw new ArgumentError('matmul', 'b', `with the leading axes of a ${formatShape(a.shape)}`, formatShape(b.shape))
    const inner = a.dim(transposeA ? -2 : -1)
    if (b.dim(transposeB ? -1 : -2) !== inner)
      throw new ArgumentError('matmul', `axis ${transposeB ? -1 : -2} of b`, `${inner} long`, formatShape(b.shape))
  },
  forward([a, b], { transposeA = false, transposeB = false }, save) {
    save(a, b)
    return wrap(addon.matmulForward(a.handle, b.handle, transposeA, transposeB))
  },
  backward(dy, [a, b], { transposeA = false, transposeB = false }, needs) {
    const gradients = addon.matmulBackward(dy.handle, a.handle, b.handle, transposeA, transposeB, ...needs)
    return [gradients[0] && wrap(gradients[0]), gradients[1] && wrap(gradients[1])]
  },
})
