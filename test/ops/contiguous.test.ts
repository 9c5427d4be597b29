import { describe, expect, it } from 'vitest'
import { backward } from '../../lib/autograd/backward.ts'
import { contiguous } from '../../lib/ops/contiguous.ts'
import { permute } from '../../lib/ops/permute.ts'
import { slice } from '../../lib/ops/slice.ts'
import { tensor } from '../../lib/tensor/create.ts'
import { cpuTargets, setCpuTarget } from '../../lib/tensor/runtime.ts'
import { array64 } from '../support/float64.ts'
import { elementwiseTolerance, opSuite } from '../support/opSuite.ts'

opSuite(contiguous, {
  gpu: true,
  oracle: ([x]) => array64(x!.shape, x!.data),
  tolerance: elementwiseTolerance,
  cases: [{ name: 'packed already', inputs: [{ shape: [3, 5] }], options: {} }],
})

describe.each(cpuTargets())('contiguous on %s', (target) => {
  it('packs transposes of every item size', async () => {
    setCpuTarget(target)
    const rows = 70
    const columns = 45
    const numbers = Array.from({ length: rows * columns }, (_, i) => i % 251)
    for (const data of [Uint8Array.from(numbers), Int32Array.from(numbers), BigInt64Array.from(numbers, BigInt)]) {
      const y = await contiguous(permute(tensor(data, [rows, columns]), { axes: [1, 0] })).read()
      for (let i = 0; i < y.length; i++) {
        const expected = data[(i % rows) * columns + Math.floor(i / rows)]
        if (y[i] !== expected) throw new Error(`element ${i} is ${y[i]}, expected ${expected}`)
      }
    }
  })
  it('packs a slice of a transpose', async () => {
    setCpuTarget(target)
    const x = tensor(
      Float32Array.from({ length: 60 }, (_, i) => i),
      [6, 10],
    )
    const y = contiguous(slice(permute(x, { axes: [1, 0] }), { axis: 0, start: 3, end: 5 }))
    expect(Array.from((await y.read()) as Float32Array)).toEqual([3, 13, 23, 33, 43, 53, 4, 14, 24, 34, 44, 54])
  })
})

describe('contiguous', () => {
  it('copies nothing that is packed', async () => {
    const x = tensor([1, 2], [2])
    x.requiresGrad = true
    backward(contiguous(x), tensor([3, 4], [2]))
    expect(Array.from((await x.grad!.read()) as Float32Array)).toEqual([3, 4])
  })
})
