import { describe, expect, it } from 'vitest'
import { noGrad } from '../../lib/autograd/tape.ts'
import { createSampler, type SamplerName, samplerNames } from '../../lib/diffusion/index.ts'
import type { PredictionType } from '../../lib/diffusion/predictionType.ts'
import { UNet } from '../../lib/models/stableDiffusion/unet.ts'
import { streamOf } from '../../lib/nn/init.ts'
import { add } from '../../lib/ops/add.ts'
import { scale } from '../../lib/ops/scale.ts'
import { randomNormal, tensor } from '../../lib/tensor/create.ts'
import { scope } from '../../lib/tensor/scope.ts'
import type { Tensor } from '../../lib/tensor/tensor.ts'
import { baselineBuffers, liveBuffers } from '../support/device.ts'
import { type Digest, expectDigest } from '../support/digest.ts'
import { loadFixture } from '../support/fixtureCases.ts'
import { formulaValues } from '../support/formula.ts'
import { loadModelFixture, setIds } from '../support/modelFixture.ts'
import { runInNumbers } from '../support/samplerNumbers.ts'
import { formulaInput, formulaWeights, tinyConfigs } from '../support/tinyModels.ts'

interface SamplersFixture {
  readonly cases: readonly {
    readonly sampler: SamplerName
    readonly prediction: PredictionType
    readonly steps: number
    readonly initialSigma: number
    readonly times: readonly number[]
    /** After each call. */
    readonly latents: readonly (readonly number[])[]
  }[]
  readonly unets: Readonly<
    Record<
      'tinySd1' | 'tinySd2',
      {
        readonly prediction: PredictionType
        readonly latents: readonly number[]
        readonly context: readonly number[]
        readonly results: Readonly<Record<string, Digest>>
      }
    >
  >
}

const { cases, unets } = loadFixture<SamplersFixture>('samplers/samplers.json')
const normal = (name: string): number[] => Array.from(formulaValues(name, { shape: [4], kind: 'normal-like' }))

/** The model of scripts/reference/samplers.py. */
function formulaModel(input: readonly number[], time: number): number[] {
  return input.map((x) => 0.7 * x + 0.4 * Math.sin(2 * x + time / 150) - 0.1 * Math.cos(time / 300))
}

describe('samplers against diffusers', () => {
  it('are all compared, with both predictions', () => {
    const compared = new Set(cases.map(({ sampler, prediction }) => `${sampler} ${prediction}`))
    expect(compared.size).toBe(2 * samplerNames.filter((name) => !name.startsWith('k_')).length)
  })

  it.each(cases)('$sampler has the same latents after each call: $steps steps, $prediction', (fixture) => {
    const { sampler: name, prediction: predictionType, steps } = fixture
    const { calls, initialSigma } = createSampler(name, { steps, predictionType })
    expect(initialSigma / fixture.initialSigma).toBeCloseTo(1, 6)
    expect(calls).toHaveLength(fixture.times.length)
    calls.forEach(({ time }, i) => {
      expect(time).toBeCloseTo(fixture.times[i]!, 3) // theirs is in float32, and between whole times of float32 logarithms
    })
    const after = runInNumbers(calls, {
      start: normal('samplers/noise').map((x) => x * initialSigma),
      model: (input, { time }) => formulaModel(input, time),
      noise: (call) => normal(`samplers/noise/${call}`),
    })
    after.forEach((latents, call) => {
      const size = Math.max(...fixture.latents[call]!.map(Math.abs))
      latents.forEach((x, i) => {
        expect(Math.abs(x - fixture.latents[call]![i]!) / size, `call ${call}, element ${i}`).toBeLessThan(2e-6)
      })
    })
  })
})

describe.each(['tinySd1', 'tinySd2'] as const)('samplers with the U-Net of %s, against diffusers', (name) => {
  const fixture = unets[name]
  setIds(`${name}/results`, fixture.results)

  it.each(Object.keys(fixture.results) as SamplerName[])('%s draws the same', async (samplerName) => {
    const unet = new UNet(tinyConfigs[name].unet, formulaWeights('unet'))
    const context = formulaInput(`${name}/samplers/context`, fixture.context)
    const noise = formulaInput(`${name}/samplers/latents`, fixture.latents)
    const run = createSampler(samplerName, { steps: 20, predictionType: fixture.prediction }).start(noise, { seed: 1 })
    while (!run.done)
      noGrad(() => scope(() => run.proceed(unet.forward(run.input(), tensor([run.time], [1]), context))))
    expectDigest((await run.latents.read()) as Float32Array, fixture.results[samplerName]!, { rms: 1e-4, max: 1e-3 })
    run.dispose()
    unet.dispose()
  })
})

describe('DDIM with guidance, against diffusers', () => {
  const fixture = loadModelFixture('tinySd1').ddim!

  it.each([
    ['epsilon', fixture.epsilon],
    ['v_prediction', fixture.velocity],
  ] as const)('has the same latents after every step, %s', async (predictionType, steps) => {
    const unet = new UNet(tinyConfigs.tinySd1.unet, formulaWeights('unet'))
    const context = formulaInput('tinySd1/ddim/context', fixture.context)
    const negative = formulaInput('tinySd1/ddim/negativeContext', fixture.context)
    const sampler = createSampler('ddim', { steps: fixture.steps, predictionType })
    expect(sampler.calls.map(({ time }) => time)).toEqual(fixture.timesteps)
    const run = sampler.start(formulaInput('tinySd1/ddim/latents', fixture.latents), { seed: 1 })
    for (const digest of Object.values(steps)) {
      noGrad(() =>
        scope(() => {
          const ask = (c: Tensor, factor: number): Tensor =>
            scale(unet.forward(run.input(), tensor([run.time], [1]), c), { factor })
          run.proceed(add(ask(negative, 1 - fixture.guidance), ask(context, fixture.guidance)))
        }),
      )
      expectDigest((await run.latents.read()) as Float32Array, digest, { rms: 1e-4, max: 1e-3 })
    }
    expect(run.done).toBe(true)
    run.dispose()
    unet.dispose()
  })
})

describe('SamplerRun', () => {
  const shape = [2, 3] as const

  it.each(samplerNames)('%s does with tensors what its calls say, with noise of the seed', async (name) => {
    const baseline = await baselineBuffers()
    const sampler = createSampler(name, { steps: 6, predictionType: 'v_prediction' })
    const noise = tensor(formulaValues('run', { shape, kind: 'normal-like' }), shape)
    const read = async (t: Tensor): Promise<number[]> => Array.from((await t.read()) as Float32Array)
    const run = sampler.start(noise, { seed: 5 })
    const noises: number[][] = []
    while (!run.done) {
      const input = run.input()
      const output = tensor(formulaModel(await read(input), run.time), shape)
      const fresh = randomNormal(shape, { seed: 5, stream: streamOf(`sampler noise ${noises.length}`) })
      noises.push(await read(fresh))
      run.proceed(output)
      for (const t of [input, output, fresh]) t.dispose()
    }
    const expected = runInNumbers(sampler.calls, {
      start: (await read(noise)).map((x) => x * sampler.initialSigma),
      model: (input, { time }) => formulaModel(input, time),
      noise: (call) => noises[call]!,
    }).at(-1)!
    ;(await read(run.latents)).forEach((x, i) => {
      expect(Math.abs(x - expected[i]!)).toBeLessThan(2e-5)
    })
    run.dispose()
    noise.dispose()
    expect(await liveBuffers()).toBe(baseline)
  })

  it('draws the same with the same seed, and with another seed only where noise is added', async () => {
    const draw = async (name: SamplerName, seed: number): Promise<Float32Array> => {
      const noise = tensor(formulaValues('run', { shape, kind: 'normal-like' }), shape)
      const run = createSampler(name, { steps: 4, predictionType: 'epsilon' }).start(noise, { seed })
      while (!run.done) scope(() => run.proceed(run.input()))
      return (await run.latents.read()) as Float32Array
    }
    for (const name of ['euler_a', 'dpm_2_a', 'euler', 'dpm_2'] as const) {
      expect(await draw(name, 1)).toEqual(await draw(name, 1))
      const same = JSON.stringify(await draw(name, 1)) === JSON.stringify(await draw(name, 2))
      expect(same, name).toBe(!name.endsWith('_a'))
    }
  })

  it('refuses latents and outputs that do not fit, and calls after the last', () => {
    const sampler = createSampler('ddim', { steps: 1, predictionType: 'epsilon' })
    const ids = tensor([1, 2], [2], { dtype: 'int32' })
    expect(() => sampler.start(ids, { seed: 1 })).toThrow('SamplerRun: noise must be float32, received int32')
    const run = sampler.start(tensor([1, 2], [2]), { seed: 1 })
    expect(() => run.proceed(tensor([1], [1]))).toThrow('output must be float32 [2], received float32 [1]')
    run.proceed(tensor([1, 2], [2]))
    expect(run.done).toBe(true)
    expect(() => run.time).toThrow('SamplerRun: time must be asked for before the run is done')
    expect(() => run.input()).toThrow('SamplerRun: input must be')
    expect(() => run.proceed(tensor([1, 2], [2]))).toThrow('SamplerRun: proceed must be')
  })
})
