import { describe, expect, it } from 'vitest'
import { scale } from '../../lib/ops/scale.ts'
import { tensor } from '../../lib/tensor/create.ts'
import { fixtureSuite } from '../support/fixtureSuite.ts'
import { array64 } from '../support/float64.ts'
import { elementwiseTolerance, opSuite } from '../support/opSuite.ts'

opSuite(scale, {
  gpu: true,
  oracle: ([x], { factor }) =>
    array64(
      x!.shape,
      x!.data.map((value) => value * factor),
    ),
  tolerance: elementwiseTolerance,
  cases: [
    { name: 'odd shape', inputs: [{ shape: [3, 5, 7] }], options: { factor: -0.18215 } },
    { name: 'longer than a task', inputs: [{ shape: [33333] }], options: { factor: 1e3 } },
  ],
})

fixtureSuite(scale, { tolerance: elementwiseTolerance })

describe('scale', () => {
  it('rejects a factor that is not finite', () => {
    expect(() => scale(tensor([1], [1]), { factor: Number.NaN })).toThrow('scale: factor must be a finite number')
  })
})
