import { describe, expect, it } from 'vitest'
import { quickGelu } from '../../lib/ops/quickGelu.ts'
import { tensor } from '../../lib/tensor/create.ts'
import { fixtureSuite } from '../support/fixtureSuite.ts'
import { array64 } from '../support/float64.ts'
import { quickGelu64 } from '../support/functions64.ts'
import { elementwiseTolerance, opSuite } from '../support/opSuite.ts'

opSuite(quickGelu, {
  oracle: ([x]) => array64(x!.shape, x!.data.map(quickGelu64)),
  tolerance: elementwiseTolerance,
  cases: [
    { name: 'one element', inputs: [{ shape: [1] }], options: {} },
    { name: 'odd shape', inputs: [{ shape: [3, 5, 77], scale: 3 }], options: {} },
    { name: 'far from zero', inputs: [{ shape: [47], scale: 12 }], options: {} },
    { name: 'longer than a task', inputs: [{ shape: [40001], scale: 4 }], options: {} },
  ],
})

fixtureSuite(quickGelu, { tolerance: elementwiseTolerance })

describe('quickGelu', () => {
  it('keeps its limits and lets NaN through', async () => {
    const y = await quickGelu(tensor([-200, -0, 0, 200, Number.NaN], [5])).read()
    expect(Math.abs(Number(y[0]))).toBeLessThan(1e-30)
    expect(Number(y[1])).toBeCloseTo(0)
    expect(Number(y[2])).toBe(0)
    expect(Number(y[3])).toBe(200)
    expect(Number(y[4])).toBeNaN()
  })
  it('rejects integers', () => {
    expect(() => quickGelu(tensor(new Int32Array(2), [2]))).toThrow(
      'quickGelu: x must be a float tensor, received int32',
    )
  })
})
