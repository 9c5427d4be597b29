import { describe, expect, it } from 'vitest'
import {
  createSampler,
  noiseSchedule,
  type Sampler,
  type SamplerName,
  samplerNames,
  samplerSteps,
} from '../../lib/diffusion/index.ts'
import { ArgumentError } from '../../lib/util/errors.ts'
import { runInNumbers } from '../support/samplerNumbers.ts'

const predictionTypes = ['epsilon', 'v_prediction'] as const
const { alphasCumprod } = noiseSchedule()
const stepCounts = [10, 30, 100] as const

/** Relative errors of the result for 10, 30 and 100 steps; of ancestral samplers, errors of the standard deviation. */
const errors: Partial<Record<SamplerName, readonly [number, number, number]>> = {
  ddim: [-0.1505, -0.056, -0.0191],
  pndm: [-0.0166, -0.0036, -0.0001],
  euler: [-0.1708, -0.0604, -0.0196],
  lms: [-0.0158, 0.0001, 0],
  heun: [0.0301, 0.0021, -0.0006],
  dpm_2: [0.0722, 0.0113, 0.0009],
  euler_a: [-0.2482, -0.1092, -0.0421],
  dpm_2_a: [0.1615, 0.0325, 0.0057],
  'dpmsolver++': [-0.087, 0.054, 0.0091],
  dpmsolver: [-0.0962, 0.0317, 0.0055],
  dpmsingle: [0.0596, 0.0139, 0.0014],
}
const ofNoiseLevels: readonly SamplerName[] = ['lms', 'euler', 'heun', 'dpm_2', 'euler_a', 'dpm_2_a']
const ancestral: readonly SamplerName[] = ['euler_a', 'dpm_2_a']

/** Share of the signal's variance at a time; between whole times the logarithm of the noise level is interpolated. */
function alphaAt(time: number): number {
  const low = Math.min(Math.floor(time), 998)
  if (low === time) return alphasCumprod[time]!
  const logLevel = (t: number): number => Math.log((1 - alphasCumprod[t]!) / alphasCumprod[t]!) / 2
  const log = logLevel(low) + (time - low) * (logLevel(low + 1) - logLevel(low))
  return 1 / (1 + Math.exp(2 * log))
}

/** Standard deviation of the data. */
const deviation = 0.7

/** The exact answer of a model of normally distributed data of that deviation; linear, so that `input` may be coefficients. */
function output(input: readonly number[], time: number, predictionType: (typeof predictionTypes)[number]): number[] {
  const a = alphaAt(time)
  const variance = deviation ** 2 * a + 1 - a
  return input.map((x) => {
    const epsilon = (Math.sqrt(1 - a) * x) / variance
    const picture = (Math.sqrt(a) * deviation ** 2 * x) / variance
    return predictionType === 'epsilon' ? epsilon : Math.sqrt(a) * epsilon - Math.sqrt(1 - a) * picture
  })
}

/** How many times too large the result is, compared with the exact solution of the differential equation. */
function errorOf(sampler: Sampler, predictionType: (typeof predictionTypes)[number]): number {
  const { name, calls, initialSigma } = sampler
  // Coefficients of the start and of each call's noise, all independent of each other.
  const unit = (at: number): number[] => Array.from({ length: calls.length + 1 }, (_, i) => (i === at ? 1 : 0))
  const levels = ofNoiseLevels.includes(name)
  const spread = ancestral.includes(name) ? Math.sqrt(initialSigma ** 2 + deviation ** 2) : initialSigma
  const result = runInNumbers(calls, {
    start: unit(0).map((x) => x * spread),
    model: (input, { time }) => output(input, time, predictionType),
    noise: (call) => unit(call + 1),
  }).at(-1)!
  if (ancestral.includes(name)) return Math.hypot(...result) / deviation - 1
  const first = alphasCumprod[calls[0]!.time]!
  const last = levels || name === 'ddim' ? 1 : alphasCumprod[0]!
  const spreadAt = (a: number): number => Math.sqrt(deviation ** 2 * a + 1 - a)
  const exact = levels
    ? (initialSigma * deviation) / Math.sqrt(deviation ** 2 + initialSigma ** 2)
    : spreadAt(last) / spreadAt(first)
  return result[0]! / exact - 1
}

describe.each(predictionTypes)('samplers with a model that knows normally distributed data, %s', (predictionType) => {
  it.each(Object.entries(errors) as [SamplerName, readonly number[]][])(
    '%s has its error of 10, 30 and 100 steps',
    (name, expected) => {
      const found = stepCounts.map((steps) => errorOf(createSampler(name, { steps, predictionType }), predictionType))
      found.forEach((error, i) => {
        expect(error, `${stepCounts[i]} steps`).toBeCloseTo(expected[i]!, 4)
      })
    },
  )
})

describe('createSampler', () => {
  const times = (name: SamplerName, steps: number): number[] =>
    createSampler(name, { steps, predictionType: 'epsilon' }).calls.map(({ time }) => time)

  it('calls the model at the times of DDIM counted from 1', () => {
    const ddim = times('ddim', 30)
    expect(ddim).toHaveLength(30)
    expect(ddim.slice(0, 2)).toEqual([958, 925])
    expect(ddim.slice(-2)).toEqual([34, 1])
    expect(times('ddim', 1)).toEqual([1])
    expect(times('ddim', 999).slice(-2)).toEqual([2, 1])
  })

  it('calls the model at the times of PNDM, four times in each of the first three steps', () => {
    const pndm = times('pndm', 30)
    expect(pndm).toHaveLength(39)
    expect(pndm.slice(0, 14)).toEqual([958, 941, 941, 925, 925, 908, 908, 892, 892, 875, 875, 859, 859, 826])
    expect(pndm.at(-1)).toBe(1)
    expect(times('pndm', 4)).toEqual([751, 626, 626, 501, 501, 376, 376, 251, 251, 126, 126, 1, 1])
  })

  it('calls the model at the rounded times of DPM-Solver, each once', () => {
    for (const name of ['dpmsolver', 'dpmsolver++', 'dpmsingle'] as const) {
      expect(times(name, 4)).toEqual([999, 749, 500, 250])
      expect(times(name, 999)).toEqual(Array.from({ length: 999 }, (_, i) => 999 - i))
    }
  })

  it('calls the model at equally spaced times from 999 to 0, and between', () => {
    expect(times('euler', 4)).toEqual([999, 666, 333, 0])
    expect(times('heun', 4)).toEqual([999, 666, 666, 333, 333, 0, 0])
    const dpm2 = times('dpm_2', 4)
    expect(dpm2).toHaveLength(7)
    expect(dpm2.filter((_, i) => i % 2 === 0)).toEqual([999, 666, 333, 0])
    expect(dpm2.every((time, i) => i === 0 || time < dpm2[i - 1]!)).toBe(true)
    expect(Number.isInteger(dpm2[1])).toBe(false)
    expect(times('lms', 1)).toEqual([0])
  })

  it.each(samplerNames)('%s makes as many calls as it says', (name) => {
    const plain = name.replace('k_', '')
    for (const steps of [4, 5, 20]) {
      const twice = ['heun', 'dpm_2', 'dpm_2_a'].includes(plain)
      expect(times(name, steps)).toHaveLength(twice ? 2 * steps - 1 : plain === 'pndm' ? steps + 9 : steps)
    }
  })

  it.each(samplerNames)('%s takes the fewest and the most steps it says, and no others', (name) => {
    const { least, most } = samplerSteps(name)
    for (const steps of [least, most]) {
      const { calls, initialSigma } = createSampler(name, { steps, predictionType: 'v_prediction' })
      expect(initialSigma).toBeGreaterThan(0)
      for (const { time, inputScale, next } of calls) {
        expect(time >= 0 && time <= 999).toBe(true)
        expect(Number.isFinite(inputScale) && next.every(({ factor }) => Number.isFinite(factor))).toBe(true)
      }
    }
    for (const steps of [least - 1, most + 1, 7.5, Number.NaN]) {
      const make = (): Sampler => createSampler(name, { steps, predictionType: 'epsilon' })
      expect(make).toThrow(ArgumentError)
      expect(make).toThrow(`steps must be a whole number from ${least} to ${most} for ${name}, received ${steps}`)
    }
  })

  it('gives second names the same calls', () => {
    for (const name of samplerNames.filter((other) => other.startsWith('k_'))) {
      const options = { steps: 7, predictionType: 'epsilon' } as const
      expect(createSampler(name, options).calls).toEqual(createSampler(name.slice(2) as SamplerName, options).calls)
    }
  })

  it('starts from the noise level of its first time', () => {
    const sigma = (name: SamplerName, steps: number): number =>
      createSampler(name, { steps, predictionType: 'epsilon' }).initialSigma
    expect(sigma('euler', 30)).toBeCloseTo(14.61464, 4)
    expect(sigma('dpm_2_a', 1)).toBeCloseTo(0.0291672, 5)
    expect([sigma('ddim', 30), sigma('pndm', 30), sigma('dpmsolver++', 30)]).toEqual([1, 1, 1])
  })

  it('refuses a name that it does not know with the nearest that it does', () => {
    const make = (): Sampler => createSampler('eular' as SamplerName, { steps: 9, predictionType: 'epsilon' })
    expect(make).toThrow(/name must be one of ddim, .*, received "eular". Did you mean "euler"\?/)
  })
})
