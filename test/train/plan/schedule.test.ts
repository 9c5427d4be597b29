import { describe, expect, it } from 'vitest'
import { expiredName, LossAverage, outputName, planSteps } from '../../../lib/train/plan/schedule.ts'

describe('planSteps', () => {
  it('counts a short last group of an epoch as one step', () => {
    expect(planSteps(10, { maxSteps: 7, maxEpochs: null, gradientAccumulationSteps: 4 })).toEqual({
      totalSteps: 7,
      epochCount: 3,
    })
  })
  it('lets epochs win over steps', () => {
    expect(planSteps(10, { maxSteps: 1600, maxEpochs: 2, gradientAccumulationSteps: 4 })).toEqual({
      totalSteps: 6,
      epochCount: 2,
    })
  })
})

describe('LossAverage', () => {
  it('replaces the losses of the epoch before', () => {
    const average = new LossAverage()
    expect(average.value).toBe(0)
    average.add(0, 4)
    average.add(1, 2)
    expect(average.value).toBe(3)
    average.add(0, 1)
    expect(average.value).toBe(1.5)
  })

  it('passes over losses that are not finite, also from a state on', () => {
    const average = new LossAverage()
    average.add(0, Number.NaN)
    expect(average.value).toBeNaN()
    average.add(1, 2)
    average.add(2, Number.POSITIVE_INFINITY)
    average.add(3, 4)
    expect(average.value).toBe(3)
    const restored = new LossAverage()
    restored.restore(JSON.parse(JSON.stringify(average.state)))
    restored.add(0, 3) // of the next epoch
    restored.add(1, Number.NaN)
    expect(restored.value).toBe(3)
    restored.add(2, 11)
    expect(restored.value).toBe(5)
  })
})

describe('outputName', () => {
  it('numbers epochs with six digits and steps with eight', () => {
    expect(outputName('frog', { epoch: 3 }, '.safetensors')).toBe('frog-000003.safetensors')
    expect(outputName('frog', { step: 120 }, '.safetensors')).toBe('frog-step00000120.safetensors')
    expect(outputName('frog', 'end', '.safetensors')).toBe('frog.safetensors')
  })
  it('has a name for runs without one', () => {
    expect(outputName(null, { epoch: 3 }, '.x')).toBe('epoch-000003.x')
    expect(outputName(null, { step: 3 }, '.x')).toBe('at-step00000003.x')
    expect(outputName(null, 'end', '.x')).toBe('last.x')
  })
})

describe('expiredName', () => {
  it('keeps the files of the last so many steps or epochs', () => {
    // Every 10, the last 30: after step 50 those of 20, 30, 40 and 50 are left.
    expect([10, 20, 30, 40, 50].map((step) => expiredName({ step }, 10, 30))).toEqual([
      null,
      null,
      null,
      null,
      { step: 10 },
    ])
    expect(expiredName({ step: 50 }, 10, 25)).toEqual({ step: 20 })
    expect([1, 2, 3, 4].map((epoch) => expiredName({ epoch }, 1, 2))).toEqual([null, null, { epoch: 1 }, { epoch: 2 }])
    expect(expiredName({ epoch: 4 }, 2, null)).toBeNull()
  })

  it('restores an average to the last bit', () => {
    const [one, other] = [new LossAverage(), new LossAverage()]
    for (const [position, loss] of [0.1, 0.7, 0.3].entries()) one.add(position, loss)
    one.add(0, 0.2)
    other.restore(JSON.parse(JSON.stringify(one.state)))
    for (const average of [one, other]) average.add(1, 0.05)
    expect(other.value).toBe(one.value)
  })
})
