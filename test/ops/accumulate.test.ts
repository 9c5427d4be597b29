import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { addon } from '../../lib/native/load.ts'
import { accumulate, copyInto, scaleInPlace } from '../../lib/ops/accumulate.ts'
import { full, tensor, zeros } from '../../lib/tensor/create.ts'
import { cpuTargets, memory, setCpuTarget } from '../../lib/tensor/runtime.ts'
import { float32ToFloat16 } from '../../lib/util/float16.ts'
import { fromBFloat16Bits, pseudoRandom, roundToBFloat16, toBFloat16Bits } from '../support/float64.ts'
import { numbers, roundedTensor } from '../support/opSuite.ts'

beforeAll(() => addon.setMemoryGuards(true))
afterAll(() => addon.setMemoryGuards(false))

describe.each(cpuTargets())('changes in place on %s', (target) => {
  const count = 40013
  const a = pseudoRandom('a', count)
  const b = pseudoRandom('b', count).map(roundToBFloat16)

  it('accumulates float32 and bfloat16 into float32', async () => {
    setCpuTarget(target)
    const y = tensor(a, [count])
    accumulate(y, tensor(b, [count]))
    accumulate(y, tensor(toBFloat16Bits(b), [count], { dtype: 'bfloat16' }))
    expect(await y.read()).toEqual(a.map((x, i) => Math.fround(x + b[i]!) + b[i]!))
    expect(memory().guardViolations).toBe(0)
  })
  it('rounds a 16-bit sum once', async () => {
    setCpuTarget(target)
    const y = tensor(toBFloat16Bits(b), [count], { dtype: 'bfloat16' })
    accumulate(y, tensor(a, [count]))
    expect(await numbers(y)).toEqual(b.map((x, i) => roundToBFloat16(Math.fround(x + a[i]!))))
    const z = roundedTensor(b, [count], 'float16')
    const before = await numbers(z)
    accumulate(z, tensor(a, [count]))
    expect(await z.read()).toEqual(float32ToFloat16(a.map((x, i) => Math.fround(before[i]! + x))))
  })
  it('copies and converts', async () => {
    setCpuTarget(target)
    const y = zeros([count], { dtype: 'bfloat16' })
    copyInto(y, tensor(a, [count]))
    expect(fromBFloat16Bits((await y.read()) as Uint16Array)).toEqual(a.map(roundToBFloat16))
    const ids = tensor(new Int32Array([1, 2, 3]), [3])
    copyInto(ids, tensor(new Int32Array([7, -8, 9]), [3]))
    expect(await ids.read()).toEqual(new Int32Array([7, -8, 9]))
  })
  it('scales, and clears with 0 even where there is NaN', async () => {
    setCpuTarget(target)
    const y = tensor(a, [count])
    scaleInPlace(y, 0.25)
    expect(await y.read()).toEqual(a.map((x) => x * 0.25))
    const spoilt = full([17], Number.NaN)
    scaleInPlace(spoilt, 0)
    expect(await spoilt.read()).toEqual(new Float32Array(17))
  })
})

describe('accumulate', () => {
  it('rejects another shape', () => {
    expect(() => accumulate(zeros([3]), zeros([4]))).toThrow('accumulate: x must be of shape [3], received [4]')
  })
  it('rejects a copy from integers to floats', () => {
    expect(() => copyInto(zeros([2]), tensor(new Int32Array(2), [2]))).toThrow(
      'copyInto: x must be float32 like y, or both float types, received int32',
    )
  })
  it('rejects a factor that is not finite', () => {
    expect(() => scaleInPlace(zeros([4]), Number.NaN)).toThrow(
      'scaleInPlace: factor must be a finite number, received NaN',
    )
  })
})
