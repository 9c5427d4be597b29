import { describe, expect, it } from 'vitest'
import { LossAverage, outputName, planSteps } from '../../lib/train/schedule.ts'

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
