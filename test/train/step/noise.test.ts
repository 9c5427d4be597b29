import { describe, expect, it } from 'vitest'
import { noiseSchedule } from '../../../lib/diffusion/noiseSchedule.ts'
import type { PredictionType } from '../../../lib/diffusion/predictionType.ts'
import { tensor, zeros } from '../../../lib/tensor/create.ts'
import { memory } from '../../../lib/tensor/runtime.ts'
import { octaveSizes } from '../../../lib/train/step/multiresNoise.ts'
import { type BatchKey, drawTimesteps, makeNoisy, type NoiseOptions } from '../../../lib/train/step/noise.ts'
import { type Digest, expectDigest } from '../../support/digest.ts'
import { loadFixture } from '../../support/fixtureCases.ts'
import { type FormulaSpec, formulaValues } from '../../support/formula.ts'

interface NoiseCase {
  readonly name: string
  readonly options: Partial<NoiseOptions>
  readonly predictionType: PredictionType
  readonly zeroTerminalSnr: boolean
  readonly timesteps: readonly number[]
  readonly noisy: Digest
  readonly target: Digest
}

const { seed, key, latents, cases } = loadFixture<{
  seed: string
  key: BatchKey
  latents: FormulaSpec
  cases: readonly NoiseCase[]
}>('noise/noise.json')

const plain: NoiseOptions = {
  seed: BigInt(seed),
  schedule: noiseSchedule(),
  predictionType: 'epsilon',
  noiseOffset: null,
  adaptiveNoiseScale: null,
}

async function numbers(options: NoiseOptions, at: BatchKey, timesteps?: readonly number[]): Promise<Float32Array> {
  const { noisy } = makeNoisy(zeros([2, 8, 8, 4]), options, at, timesteps)
  return (await noisy.read()) as Float32Array
}

describe('makeNoisy', () => {
  it.each(cases)(
    'agrees with PyTorch: $name',
    async ({ name, options, predictionType, zeroTerminalSnr, ...expected }) => {
      const before = memory().liveBuffers
      const x = tensor(formulaValues(`noise/${name}/latents`, latents), latents.shape)
      const schedule = noiseSchedule({ zeroTerminalSnr })
      const { noisy, target, times, timesteps } = makeNoisy(x, { ...plain, schedule, predictionType, ...options }, key)
      expect(timesteps).toEqual(expected.timesteps)
      expect(await times.read()).toEqual(Float32Array.from(timesteps))
      expectDigest((await noisy.read()) as Float32Array, expected.noisy, { rms: 1e-6, max: 4e-6 })
      expectDigest((await target.read()) as Float32Array, expected.target, { rms: 1e-6, max: 4e-6 })
      for (const used of [x, noisy, target, times]) used.dispose()
      expect(memory().liveBuffers).toBe(before)
    },
  )

  it('takes timesteps in place of drawn ones, with the same noise', async () => {
    const drawn = drawTimesteps(2, plain, key)
    expect(await numbers(plain, key, drawn)).toEqual(await numbers(plain, key))
    const { timesteps, times } = makeNoisy(zeros([2, 8, 8, 4]), plain, key, [200, 800])
    expect(timesteps).toEqual([200, 800])
    expect(await times.read()).toEqual(Float32Array.of(200, 800))
  })

  it('depends on epoch and batch, and does not count calls', async () => {
    const options = { ...plain, noiseOffset: 0.1, multiresNoiseIterations: 3, ipNoiseGamma: 0.1 }
    const first = await numbers(options, { epoch: 1, batch: 0 })
    expect(await numbers(options, { epoch: 1, batch: 1 })).not.toEqual(first)
    expect(await numbers(options, { epoch: 2, batch: 0 })).not.toEqual(first)
    expect(await numbers(options, { epoch: 1, batch: 0 })).toEqual(first)
  })
})

describe('octaves', () => {
  it('begin at the size of the latents and end where a side is 1', () => {
    expect(octaveSizes([64, 48], 10, () => 0)).toEqual([
      [64, 48],
      [32, 24],
      [16, 12],
      [8, 6],
      [4, 3],
      [2, 1],
    ])
    expect(octaveSizes([64, 48], 2, () => 0.5)).toEqual([
      [64, 48],
      [21, 16],
    ])
  })

  it('leave the standard deviation of the batch at 1', async () => {
    const options = { ...plain, multiresNoiseIterations: 6, multiresNoiseDiscount: 0.8 }
    const { target } = makeNoisy(zeros([2, 16, 16, 4]), options, key)
    const noise = (await target.read()) as Float32Array
    const mean = noise.reduce((sum, value) => sum + value, 0) / noise.length
    const squares = noise.reduce((sum, value) => sum + (value - mean) ** 2, 0)
    expect(Math.sqrt(squares / (noise.length - 1))).toBeCloseTo(1, 5)
  })
})

describe('drawTimesteps', () => {
  const draws = (options: Partial<NoiseOptions>): number[] =>
    Array.from({ length: 200 }, (_, batch) => drawTimesteps(8, { ...plain, ...options }, { epoch: 1, batch })).flat()

  it('covers the whole schedule, or what the limits leave', () => {
    const all = draws({})
    expect([Math.min(...all) < 10, Math.max(...all) > 989, Math.max(...all) < 1000]).toEqual([true, true, true])
    expect(new Set(draws({ minTimestep: 300, maxTimestep: 304 }))).toEqual(new Set([300, 301, 302, 303]))
  })

  it('is always the one timestep that equal limits name', () => {
    expect(new Set(draws({ minTimestep: 999, maxTimestep: 999 }))).toEqual(new Set([999]))
  })

  it('rejects limits outside of the schedule and in the wrong order', () => {
    expect(() => draws({ minTimestep: 1000 })).toThrow(
      'drawTimesteps: minTimestep must be a whole number from 0 to 999, received 1000',
    )
    expect(() => draws({ minTimestep: 500, maxTimestep: 400 })).toThrow(
      'drawTimesteps: maxTimestep must be a whole number from 500 to 1000, received 400',
    )
    expect(() => draws({ maxTimestep: 1001 })).toThrow('maxTimestep must be a whole number from 0 to 1000')
  })
})
