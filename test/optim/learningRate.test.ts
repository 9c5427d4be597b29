import { describe, expect, it } from 'vitest'
import { type LearningRateOptions, learningRateMultiplier } from '../../lib/optim/learningRate.ts'

function sample(options: LearningRateOptions, steps: readonly number[]): number[] {
  return steps.map(learningRateMultiplier(options))
}

function expectNear(actual: readonly number[], expected: readonly number[]): void {
  expect(actual.length).toBe(expected.length)
  actual.forEach((x, i) => {
    expect(x).toBeCloseTo(expected[i]!, 12)
  })
}

describe('learningRateMultiplier', () => {
  it('is 1 for constant', () => {
    expectNear(sample({ totalSteps: 10 }, [0, 5, 99]), [1, 1, 1])
  })
  it('rises from 0 during warm-up', () => {
    expectNear(
      sample({ schedule: 'constant_with_warmup', warmupSteps: 4, totalSteps: 10 }, [0, 1, 3, 4, 9]),
      [0, 0.25, 0.75, 1, 1],
    )
  })
  it('falls linearly to 0', () => {
    expectNear(
      sample({ schedule: 'linear', warmupSteps: 2, totalSteps: 10 }, [0, 1, 2, 6, 10, 12]),
      [0, 0.5, 1, 0.5, 0, 0],
    )
  })
  it('falls along half a cosine', () => {
    expectNear(sample({ schedule: 'cosine', warmupSteps: 2, totalSteps: 10 }, [1, 2, 4, 6, 10]), [
      0.5,
      1,
      0.5 * (1 + Math.SQRT1_2),
      0.5,
      0,
    ])
  })
  it('starts the cosine again in every cycle, and ends at 0', () => {
    expectNear(sample({ schedule: 'cosine_with_restarts', totalSteps: 12, cycles: 3 }, [0, 2, 4, 6, 8, 11, 12, 13]), [
      1,
      0.5,
      1,
      0.5,
      1,
      0.5 * (1 - Math.SQRT1_2),
      0,
      0,
    ])
  })
  it('falls by a power to 1e-7', () => {
    const learningRate = 1e-3
    expectNear(sample({ schedule: 'polynomial', totalSteps: 10, power: 2, learningRate }, [0, 5, 10, 11]), [
      1,
      ((learningRate - 1e-7) * 0.25 + 1e-7) / learningRate,
      1e-4,
      1e-4,
    ])
  })
  it('reaches full height when warm-up takes the whole run', () => {
    expectNear(sample({ schedule: 'linear', warmupSteps: 4, totalSteps: 4 }, [3, 4]), [0.75, 0])
  })
  it('offers the nearest name for one it does not know', () => {
    expect(() => learningRateMultiplier({ schedule: 'cosin' as 'cosine', totalSteps: 1 })).toThrow(
      'received "cosin". Did you mean "cosine"?',
    )
  })
  it('rejects warm-up for constant', () => {
    expect(() => learningRateMultiplier({ warmupSteps: 3, totalSteps: 10 })).toThrow(
      'learningRate: warmupSteps must be 0 for constant (or use constant_with_warmup), received 3',
    )
  })
  it('rejects polynomial decay from a rate that is not above its end', () => {
    expect(() => learningRateMultiplier({ schedule: 'polynomial', totalSteps: 10, learningRate: 1e-7 })).toThrow(
      'learningRate: learningRate must be more than 1e-7 for polynomial, received 1e-7',
    )
  })
})
