import { describe, expect, it } from 'vitest'
import { noiseSchedule } from '../../lib/diffusion/noiseSchedule.ts'
import { loadFixture } from '../support/fixtureCases.ts'

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

describe('noiseSchedule that ends in noise alone', () => {
  const ending = noiseSchedule({ zeroTerminalSnr: true })
  const { alphasCumprod: expected } = loadFixture<{ alphasCumprod: Record<string, number[]> }>('noise/schedules.json')

  it.each([false, true])('has the float32 values of PyTorch (%s)', (zeroTerminalSnr) => {
    const { alphasCumprod } = noiseSchedule({ zeroTerminalSnr })
    alphasCumprod.forEach((a, t) => {
      expect(Math.abs(a - expected[String(zeroTerminalSnr)]![t]!)).toBeLessThanOrEqual(2e-6 * a + 1e-10)
    })
  })
  it('begins as the other, and has no signal at the last timestep', () => {
    const { alphasCumprod, betas } = ending
    expect(alphasCumprod[0]).toBe(schedule.alphasCumprod[0])
    expect(alphasCumprod[500]).toBeCloseTo(0.241019, 6)
    expect(alphasCumprod[998]! / 1.968e-7).toBeCloseTo(1, 3)
    expect([alphasCumprod[999], betas[999]]).toEqual([0, 1])
  })
  it('weighs losses by the ratios of the other', () => {
    expect(ending.snr).toEqual(schedule.snr)
  })
  it('needs more than one timestep', () => {
    expect(() => noiseSchedule({ steps: 1, zeroTerminalSnr: true })).toThrow(
      'noiseSchedule: steps must be more than one with zeroTerminalSnr, received 1',
    )
  })
})
