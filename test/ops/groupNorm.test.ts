import { describe, expect, it } from 'vitest'
import { backward } from '../../lib/autograd/backward.ts'
import { groupNorm } from '../../lib/ops/groupNorm.ts'
import { full, randomNormal, zeros } from '../../lib/tensor/create.ts'
import { fixtureSuite } from '../support/fixtureSuite.ts'
import { groupNorm64, groupNormCases } from '../support/groupNorm64.ts'
import { elementwiseTolerance, opSuite } from '../support/opSuite.ts'

const tolerance = {
  float32: { rms: 2e-7, max: 2e-6, relative: 1e-6 },
  bfloat16: elementwiseTolerance.bfloat16,
} as const
const gradientTolerance = {
  float32: { rms: 2e-6, max: 1e-5, relative: 1e-5 },
  bfloat16: { rms: 7.5e-3, max: 1.2e-2, relative: 2 ** -7 },
} as const

opSuite(groupNorm, {
  gpu: true,
  oracle: groupNorm64,
  tolerance,
  gradientTolerance,
  cases: groupNormCases,
})

fixtureSuite(groupNorm, { tolerance, gradientTolerance })

describe('groupNorm', () => {
  it('gives the input a gradient that sums to nothing over each group', async () => {
    const x = randomNormal([1, 40, 8], { seed: 1 })
    x.requiresGrad = true
    const dy = randomNormal([1, 40, 8], { seed: 2 })
    backward(groupNorm(x, full([8], 1), zeros([8]), { groups: 2 }), dy)
    const dx = (await x.grad!.read()) as Float32Array
    for (const group of [0, 1]) {
      let sum = 0
      dx.forEach((value, i) => {
        if ((i % 8) >> 2 === group) sum += value
      })
      expect(Math.abs(sum)).toBeLessThan(1e-4)
    }
  })
  it('computes only the gradients that are wanted', async () => {
    const x = randomNormal([1, 6, 4], { seed: 1 })
    const weight = full([4], 1)
    weight.requiresGrad = true
    backward(groupNorm(x, weight, zeros([4]), { groups: 2 }), randomNormal([1, 6, 4], { seed: 2 }))
    expect((await weight.grad!.read()).length).toBe(4)
    expect(x.grad).toBeNull()
  })
  it('rejects channels not divisible by groups', () => {
    expect(() => groupNorm(zeros([1, 2, 6]), full([6], 1), zeros([6]), { groups: 4 })).toThrow(
      'groupNorm: x channels must be divisible by groups, received 6 and 4',
    )
  })
  it('rejects a weight of another length', () => {
    expect(() => groupNorm(zeros([1, 2, 6]), full([5], 1), zeros([6]), { groups: 2 })).toThrow(
      'groupNorm: weight must be of shape [6], received [5]',
    )
  })
})
