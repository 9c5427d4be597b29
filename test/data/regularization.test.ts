import { expect, it } from 'vitest'
import { balanceRegularization } from '../../lib/data/regularization.ts'

function times(count: number, repeats: number): number[] {
  return new Array<number>(count).fill(repeats)
}

it.each([
  ['cycles a shortage one repeat at a time', times(3, 1), 20, [7, 7, 6]],
  ['overshoots in the first pass and leaves the tail unused', times(4, 4), 10, [4, 4, 4, 0]],
  ['leaves the excess unused', times(12, 1), 10, [...times(10, 1), 0, 0]],
  ['registers none without training pictures', times(3, 2), 0, [0, 0, 0]],
  ['adds single repeats after a first pass with several', [5, 1], 9, [7, 2]],
  ['does nothing without regularization pictures', [], 10, []],
])('%s', (_, repeats, wanted, expected) => {
  expect(balanceRegularization(repeats, wanted)).toEqual(expected)
})
