import { describe, expect, it } from 'vitest'
import { backward } from '../../lib/autograd/backward.ts'
import { geglu } from '../../lib/ops/geglu.ts'
import { tensor } from '../../lib/tensor/create.ts'
import { fixtureSuite } from '../support/fixtureSuite.ts'
import { type Array64, array64 } from '../support/float64.ts'
import { gelu64 } from '../support/functions64.ts'
import { elementwiseTolerance, opSuite } from '../support/opSuite.ts'

function oracle([x]: readonly (Array64 | null)[]): Array64 {
  const half = x!.shape.at(-1)! / 2
  const y = array64([...x!.shape.slice(0, -1), half])
  for (let i = 0; i < y.data.length; i++) {
    const value = Math.floor(i / half) * 2 * half + (i % half)
    y.data[i] = x!.data[value]! * gelu64(x!.data[value + half]!)
  }
  return y
}

opSuite(geglu, {
  gpu: true,
  oracle,
  tolerance: elementwiseTolerance,
  cases: [
    { name: 'one row', inputs: [{ shape: [2] }], options: {} },
    { name: 'odd half', inputs: [{ shape: [2, 3, 2 * 37], scale: 3 }], options: {} },
    { name: 'many short rows', inputs: [{ shape: [1500, 6], scale: 2 }], options: {} },
    { name: 'rows longer than a task', inputs: [{ shape: [2, 2 * 16411] }], options: {} },
  ],
})

fixtureSuite(geglu, { tolerance: elementwiseTolerance })

describe('geglu', () => {
  it('has half the value as the gradient of a gate of zero', async () => {
    const x = tensor([3, -5, 0, 0], [1, 4])
    x.requiresGrad = true
    backward(geglu(x), tensor([1, 1], [1, 2]))
    const dx = await x.grad!.read()
    expect(Array.from(dx as Float32Array)).toEqual([0, 0, 1.5, -2.5])
  })
  it('rejects an odd last axis', () => {
    expect(() => geglu(tensor([1, 2, 3], [3]))).toThrow('geglu: last axis of x must be divisible by two')
  })
})
