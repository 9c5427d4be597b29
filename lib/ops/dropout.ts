import { defineOp } from '../autograd/defineOp.ts'
import { addon } from '../native/load.ts'
import { type Tensor, wrap } from '../tensor/tensor.ts'
import { expectFloat, expectOption } from './check.ts'

export interface DropoutOptions {
  /** Share of elements set to 0, in [0, 1). The others are multiplied by 1 / (1 - p). */
  readonly p: number
  /** Names the run: 64 bits. */
  readonly seed: bigint
  /** Names the call within the run: 64 bits, another for every layer and step. The same pair gives the same mask. */
  readonly stream: bigint
}

/**
 * Dropout (Srivastava et al., 2014) with inverted scaling. The mask is a function of (seed, stream, element), so that backward computes it again
 * instead of keeping it.
 * @returns a tensor like `x`
 */
export const dropout = defineOp<readonly [x: Tensor], readonly [], DropoutOptions>('dropout', {
  inputs: ['x'],
  check([x], { p, seed, stream }) {
    expectFloat('dropout', 'x', x)
    expectOption('dropout', 'p', p >= 0 && p < 1, 'in [0, 1)', p)
    expectOption('dropout', 'seed', typeof seed === 'bigint', 'a bigint', typeof seed)
    expectOption('dropout', 'stream', typeof stream === 'bigint', 'a bigint', typeof stream)
  },
  forward: ([x], options, save) => {
    save()
    return wrap(masked(x, options))
  },
  backward: (dy, _saved, options) => [wrap(masked(dy, options))],
})

function masked(x: Tensor, { p, seed, stream }: DropoutOptions): ReturnType<typeof addon.dropoutForward> {
  return addon.dropoutForward(x.handle, p, BigInt.asUintN(64, seed), BigInt.asUintN(64, stream))
}
