import { describe, expect, it } from 'vitest'
import { backward } from '../../lib/autograd/backward.ts'
import { mul } from '../../lib/ops/mul.ts'
import { slice } from '../../lib/ops/slice.ts'
import { sum } from '../../lib/ops/sum.ts'
import { trainRows } from '../../lib/ops/trainRows.ts'
import { tensor } from '../../lib/tensor/create.ts'
import { keep, scope } from '../../lib/tensor/scope.ts'
import { baselineBuffers, liveBuffers } from '../support/device.ts'

const whole = (): ReturnType<typeof tensor> =>
  tensor(
    Float32Array.from({ length: 12 }, (_, i) => i),
    [4, 3],
  )

describe('trainRows', () => {
  it('is the whole, and gives the rows their gradient alone', async () => {
    const baseline = await baselineBuffers()
    const x = whole()
    const rows = keep(slice(x, { axis: 0, start: 1, end: 3 }))
    rows.requiresGrad = true
    const weights = tensor(
      Float32Array.from({ length: 12 }, (_, i) => 10 * i),
      [4, 3],
    )
    const y = scope(() => {
      const passed = trainRows(x, rows, { start: 1 })
      backward(sum(mul(passed, weights)))
      return passed
    })
    expect(await y.read()).toEqual(await x.read())
    expect(await rows.grad!.read()).toEqual(new Float32Array([30, 40, 50, 60, 70, 80]))
    expect(x.grad).toBeNull()
    for (const t of [y, rows, weights, x]) t.dispose()
    expect(await liveBuffers()).toBe(baseline)
  })

  it('rejects rows of another shape and a start beyond the end', () => {
    expect(() => trainRows(whole(), tensor([1, 2], [1, 2]), { start: 0 })).toThrow('rows must be of shape [1, 3]')
    expect(() => trainRows(whole(), tensor([1, 2, 3], [1, 3]), { start: 4 })).toThrow(
      'trainRows: start must be a whole number from 0 to 3, received 4',
    )
  })
})
