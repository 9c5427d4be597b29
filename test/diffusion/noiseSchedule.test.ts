import { describe, expect, it } from 'vitest'
import { minSnrWeights, noiseSchedule } from '../../lib/diffusion/noiseSchedule.ts'

const schedule = noiseSchedule()

describe('noiseSchedule', () => {
  it('has the values that PyTorch computes for Stable Diffusion', () => {
    const { alphasCumprod, betas, snr } = schedule
    expect([0, 499, 999].map((t) => alphasCumprod[t])).toEqual([0.99914998, 0.27766943, 0.0046600951].map(Math.fround))
    expect(alphasCumprod[250]).toBe(Math.fround(0.6737923))
    expect(alphasCumprod[500]).toBe(Math.fround(0.27633247))
    expect(betas[0]).toBeCloseTo(0.00085, 9)
    expect(betas[999]).toBeCloseTo(0.012, 8)
    expect(snr[0]).toBe(Math.fround(1175.4403))
    expect(snr[1]).toBe(Math.fround(585.8622))
    expect(snr[999]).toBeCloseTo(0.0046819132, 9)
  })
  it('falls all the way', () => {
    const { alphasCumprod } = schedule
    expect(alphasCumprod.every((a, t) => t === 0 || a < alphasCumprod[t - 1]!)).toBe(true)
  })
  it('is the exact product within float32 rounding', () => {
    let product = 1
    for (let t = 0; t < 1000; t++) {
      const root = Math.sqrt(0.00085) + ((Math.sqrt(0.012) - Math.sqrt(0.00085)) * t) / 999
      product *= 1 - root * root
      expect(Math.abs(schedule.alphasCumprod[t]! / product - 1)).toBeLessThan(1e-5)
    }
  })
  it('rejects variances outside (0, 1)', () => {
    expect(() => noiseSchedule({ betaEnd: 1 })).toThrow('noiseSchedule: betas must be rising inside (0, 1)')
  })
})

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
