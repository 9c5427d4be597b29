import { describe, expect, it } from 'vitest'
import { StepHistory } from '../../lib/dashboard/stepHistory.ts'

describe('StepHistory', () => {
  it('has a row for each step while there are few', () => {
    const history = new StepHistory(10)
    for (let step = 1; step <= 3; step++) history.add({ step, loss: step / 10, 'lr/unet': 1e-4 })
    expect(history.table()).toEqual({
      stride: 1,
      columns: { step: [1, 2, 3], loss: [0.1, 0.2, 0.3], 'lr/unet': [1e-4, 1e-4, 1e-4] },
    })
  })

  it('adds values that come later to those of the step', () => {
    const history = new StepHistory(10)
    history.add({ step: 1, loss: 1 })
    history.add({ step: 2, loss: 2 })
    history.add({ step: 2, validation: 5 })
    expect(history.table().columns).toEqual({ step: [1, 2], loss: [1, 2], validation: [null, 5] })
  })

  it('leaves gaps where nothing is known or finite', () => {
    const history = new StepHistory(10)
    history.add({ step: 1, loss: Number.NaN, gradientNorm: null })
    history.add({ step: 2, loss: 1, gradientNorm: Number.POSITIVE_INFINITY })
    expect(history.table().columns).toEqual({ step: [1, 2], loss: [null, 1] })
  })

  it('lets steps share rows when there are many, with the mean, and the range of the loss', () => {
    const history = new StepHistory(4)
    for (let step = 0; step < 6; step++) history.add({ step, loss: step, gradientNorm: 1 })
    const { stride, columns } = history.table()
    expect(stride).toBe(2)
    expect(columns).toEqual({
      step: [1, 3, 5],
      loss: [0.5, 2.5, 4.5],
      gradientNorm: [1, 1, 1],
      leastLoss: [0, 2, 4],
      mostLoss: [1, 3, 5],
    })
  })

  it('stays small over 100,000 steps and loses neither the mean nor a peak', () => {
    const history = new StepHistory(500)
    for (let step = 1; step <= 100_000; step++)
      history.add({ step, loss: step === 31_415 ? 1000 : 1, gradientNorm: step })
    const { stride, columns } = history.table()
    expect(columns.step!.length).toBeLessThanOrEqual(500)
    expect(columns.step!.length).toBeGreaterThan(200)
    expect(columns.step!.at(-1)).toBe(100_000)
    expect(Math.max(...columns.mostLoss!.map(Number))).toBe(1000)
    columns.gradientNorm!.forEach((mean, row) => {
      const first = Math.max(1, Math.floor(columns.step![row]! / stride) * stride)
      expect(mean).toBeCloseTo((first + columns.step![row]!) / 2, -1)
    })
  })
})
