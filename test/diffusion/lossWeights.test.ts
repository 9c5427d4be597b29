import { describe, expect, it } from 'vitest'
import { minSnrWeights, timestepWeights } from '../../lib/diffusion/lossWeights.ts'
import { noiseSchedule } from '../../lib/diffusion/noiseSchedule.ts'

const schedule = noiseSchedule()

describe('minSnrWeights', () => {
  it('limits the weight of clean timesteps of noise prediction', () => {
    const [clean, noisy] = minSnrWeights(schedule, [0, 999], 5, 'epsilon')
    expect(clean).toBeCloseTo(5 / 1175.4403, 7)
    expect(noisy).toBe(1)
  })
  it('divides by one more for velocity', () => {
    const [clean, noisy] = minSnrWeights(schedule, [0, 999], 5, 'v_prediction')
    expect(clean).toBeCloseTo(5 / 1176.4403, 7)
    expect(noisy).toBeCloseTo(0.0046819132 / 1.0046819132, 7)
  })
  it('rejects a gamma that is not positive and times outside the schedule', () => {
    expect(() => minSnrWeights(schedule, [0], 0, 'epsilon')).toThrow(
      'minSnrWeights: gamma must be positive, received 0',
    )
    expect(() => minSnrWeights(schedule, [1000], 5, 'epsilon')).toThrow(
      'minSnrWeights: timesteps must be whole numbers in [0, 1000), received 1000',
    )
  })
})

describe('timestepWeights', () => {
  it('are those of min-SNR where nothing else is asked for', () => {
    expect(timestepWeights(schedule, [0, 500], 'epsilon', { minSnrGamma: 5 })).toEqual(
      minSnrWeights(schedule, [0, 500], 5, 'epsilon'),
    )
    const [velocity] = timestepWeights(schedule, [500], 'v_prediction', { minSnrGamma: 5 })
    expect(velocity).toBeCloseTo(schedule.alphasCumprod[500]!, 6)
  })
  it('are 1 without any weighting', () => {
    const none = { minSnrGamma: 0, vPredLikeLoss: null, scaleVPredLossLikeNoisePred: false }
    expect(timestepWeights(schedule, [0, 999], 'epsilon', none)).toEqual([1, 1])
  })
  it('take the first ratio for 1000, and no other', () => {
    const [first, second] = timestepWeights(schedule, [0, 1], 'epsilon', { debiasedEstimation: true })
    expect(first).toBe(1 / Math.sqrt(1000))
    expect(second).toBe(1 / Math.sqrt(schedule.snr[1]!))
  })
  it('are multiplied', () => {
    const parts = [{ minSnrGamma: 5 }, { vPredLikeLoss: 0.5 }, { debiasedEstimation: true }]
    const product = parts.map((part) => timestepWeights(schedule, [300], 'epsilon', part)[0]!).reduce((a, b) => a * b)
    expect(timestepWeights(schedule, [300], 'epsilon', Object.assign({}, ...parts))[0]).toBeCloseTo(product, 12)
  })
  it('reject times outside of the schedule', () => {
    expect(() => timestepWeights(schedule, [-1], 'epsilon', {})).toThrow(
      'timestepWeights: timesteps must be whole numbers in [0, 1000), received -1',
    )
  })
})
