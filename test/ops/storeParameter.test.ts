import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { addon } from '../../lib/native/load.ts'
import { cast } from '../../lib/ops/cast.ts'
import { contiguous } from '../../lib/ops/contiguous.ts'
import { permute } from '../../lib/ops/permute.ts'
import { storeParameter } from '../../lib/ops/storeParameter.ts'
import { randomNormal, zeros } from '../../lib/tensor/create.ts'
import { cpuTargets, memory, setCpuTarget, setThreadCount } from '../../lib/tensor/runtime.ts'
import { scope } from '../../lib/tensor/scope.ts'

beforeAll(() => addon.setMemoryGuards(true))
afterAll(() => {
  addon.setMemoryGuards(false)
  setThreadCount(2)
  setCpuTarget(cpuTargets().at(-1)!)
})

// [o, kh, kw, i]; more numbers than a task, and rows that end inside a vector
const shapes = [
  [1, 1, 1, 1],
  [3, 1, 1, 5],
  [7, 3, 3, 33],
  [2, 2, 5, 1037],
  [3, 3, 3, 4001],
  [5, 7, 7, 131],
  [3, 1, 1, 41003],
]

describe.each(cpuTargets())('storeParameter on %s', (target) => {
  it.each(['float32', 'bfloat16', 'float16'] as const)('writes %s as contiguous and cast do', async (from) => {
    setCpuTarget(target)
    for (const shape of shapes) {
      const x = scope(() => cast(randomNormal(shape, { seed: 5 }), { dtype: from }))
      for (const layout of ['same', 'conv'] as const)
        for (const dtype of ['float32', 'float16', 'bfloat16'] as const) {
          const expected = scope(() =>
            cast(layout === 'conv' ? contiguous(permute(x, { axes: [0, 3, 1, 2] })) : x, { dtype }),
          )
          for (const threads of [1, 2]) {
            setThreadCount(threads)
            const actual = storeParameter(x, { layout, dtype })
            expect(actual.shape).toEqual(expected.shape)
            const [a, b] = await Promise.all([actual.read(), expected.read()])
            const differ = Buffer.compare(
              new Uint8Array(a.buffer, a.byteOffset, a.byteLength),
              new Uint8Array(b.buffer, b.byteOffset, b.byteLength),
            )
            expect(differ, `${shape} ${layout} ${dtype}, ${threads} threads`).toBe(0)
            actual.dispose()
          }
          expected.dispose()
        }
      x.dispose()
    }
    expect(memory().guardViolations).toBe(0)
  })
})

describe('storeParameter', () => {
  it('refuses what it cannot lay out', () => {
    expect(() => storeParameter(zeros([2, 3]), { layout: 'conv', dtype: 'float32' })).toThrow('of rank 4')
    expect(() => storeParameter(zeros([2, 3]), { dtype: 'int32' })).toThrow(
      'storeParameter: dtype must be a float type',
    )
    const strided = permute(zeros([2, 3]), { axes: [1, 0] })
    expect(() => storeParameter(strided, { dtype: 'float32' })).toThrow('contiguous')
  })
})
