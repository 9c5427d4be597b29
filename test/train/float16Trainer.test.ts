/** Whole trainings in float16, from configuration to files. */
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { openSafetensors } from '../../lib/io/safetensors.ts'
import { copyInto } from '../../lib/ops/accumulate.ts'
import { mseLoss } from '../../lib/ops/mseLoss.ts'
import { scale } from '../../lib/ops/scale.ts'
import { full } from '../../lib/tensor/create.ts'
import { scope } from '../../lib/tensor/scope.ts'
import type { StepEvent, TrainEvent } from '../../lib/train/events.ts'
import { networkTraining } from '../../lib/train/methods/trainNetwork.ts'
import type { LossFunction } from '../../lib/train/step/loss.ts'
import { train } from '../../lib/train/train.ts'
import { fineTune, trainDreamBooth, trainNetwork, trainTextualInversion, trainXti } from '../../lib/train/trainings.ts'
import { DataError, DivergenceError } from '../../lib/util/errors.ts'
import { baselineBuffers, liveBuffers } from '../support/device.ts'

import { makeFolder } from '../support/pictures.ts'
import {
  eventsOf,
  makeTinyData,
  only,
  saveTinyModel,
  type TinyOverrides,
  tensorBytes,
  tinyTraining,
} from '../support/tinyTraining.ts'
import { makeTinyMetadata, tinyDreamBooth, tinyFineTune, tinyInversion } from '../support/tinyTrainings.ts'

let model: string
let data: string
let metadata: string
let prompts: string
let baseline: number
beforeAll(async () => {
  model = await saveTinyModel()
  data = await makeTinyData()
  metadata = await makeTinyMetadata()
  prompts = join(await makeFolder({ 'prompts.txt': 'sks frog --w 64 --h 64 --s 2 --d 1\n' }), 'prompts.txt')
})
beforeEach(async () => {
  baseline = await baselineBuffers()
})
afterEach(async () => {
  expect(await liveBuffers(), 'buffers left by the run').toBe(baseline)
})

const inversion = { initWord: 'frog' }
const kinds: Readonly<Record<string, (overrides: TinyOverrides) => Promise<AsyncIterable<TrainEvent>>>> = {
  'a network': async (overrides) => trainNetwork(await tinyTraining(model, data, overrides)),
  'fine-tuning': async (overrides) => fineTune(await tinyFineTune(model, metadata, overrides)),
  DreamBooth: async (overrides) => trainDreamBooth(await tinyDreamBooth(model, data, overrides)),
  'textual inversion': async (overrides) =>
    trainTextualInversion(await tinyInversion(model, data, { ...overrides, inversion })),
  'extended textual inversion': async (overrides) =>
    trainXti(await tinyInversion(model, data, { ...overrides, inversion })),
}

async function stepsOf(kind: string, overrides: TinyOverrides): Promise<StepEvent[]> {
  const events = await eventsOf(await kinds[kind]!(overrides))
  expect(only(events, 'warning')).toEqual([])
  return only(events, 'step')
}

/** The largest relative difference of the losses. */
function distance(a: readonly StepEvent[], b: readonly StepEvent[]): number {
  expect(a.length).toBe(b.length)
  return Math.max(...a.map(({ loss }, i) => Math.abs(loss / b[i]!.loss - 1)))
}

describe('in float16', () => {
  it.each(['a network', 'fine-tuning'])('%s has losses within 0.5 %% of float32 for 20 steps', async (kind) => {
    const run = (mixedPrecision: 'no' | 'fp16') => stepsOf(kind, { training: { maxSteps: 20, mixedPrecision } })
    const [plain, half] = [await run('no'), await run('fp16')]
    const apart = distance(half, plain)
    expect(apart).toBeGreaterThan(0)
    expect(apart).toBeLessThan(5e-3)
    expect(half.at(-1)!.lossScaler).toEqual({ scale: 65536, goodSteps: 20, overflows: 0 })
    expect(plain.at(-1)!.lossScaler).toBeUndefined()
  })

  it.each(Object.keys(kinds))('%s learns, measures, and draws from the file it wrote', async (kind) => {
    const rest: TinyOverrides = {
      data: { cacheLatents: true },
      preview: { promptFile: prompts, everySteps: 2 },
      output: { saveEverySteps: 2 },
    }
    const run = async (mixedPrecision: 'no' | 'fp16') =>
      eventsOf(await kinds[kind]!({ ...rest, training: { maxSteps: 2, mixedPrecision } }))
    const [plain, half] = [await run('no'), await run('fp16')]
    expect(distance(only(half, 'step'), only(plain, 'step'))).toBeLessThan(5e-3)
    expect(only(half, 'preview')).toHaveLength(1)
    for (const { gradientNorm } of only(half, 'step')) expect(gradientNorm).toBeGreaterThan(0)
  })

  it('measures the loss of pictures held out near float32', async () => {
    const run = async (mixedPrecision: 'no' | 'fp16') => {
      const overrides: TinyOverrides = { training: { mixedPrecision }, validation: { split: 0.5 } }
      return only(await eventsOf(await kinds['a network']!(overrides)), 'validation').map(({ loss }) => loss)
    }
    const [plain, half] = [await run('no'), await run('fp16')]
    expect(half).toHaveLength(plain.length)
    for (const [i, loss] of half.entries()) expect(Math.abs(loss / plain[i]! - 1)).toBeLessThan(5e-3)
  })

  it('a whole model, text encoder too, may be float16 alone, and is written so', async () => {
    const config = await tinyFineTune(model, metadata, {
      training: { maxSteps: 4, mixedPrecision: 'fp16', fullPrecision: true },
      fineTune: { trainTextEncoder: true },
      output: { saveAs: 'safetensors' },
    })
    const events = await eventsOf(fineTune(config))
    const file = await openSafetensors(only(events, 'end')[0]!.path!)
    expect(file.info('model.diffusion_model.out.2.weight').dtype).toBe('F16')
    await file.close()
    const plain = await stepsOf('fine-tuning', { training: { maxSteps: 4 } })
    // The first losses are of the same weights but for rounding.
    expect(Math.abs(only(events, 'step')[0]!.loss / plain[0]!.loss - 1)).toBeLessThan(5e-3)
    expect(only(events, 'step').every(({ loss }) => Number.isFinite(loss))).toBe(true)
  })
})

/** The mean squared error, whose gradient overflows in the given steps: forward it is multiplied by 1e10 in pieces. */
function overflowing(isDue: (call: number) => boolean): LossFunction {
  let calls = 0
  return ({ prediction, target }) => {
    const factors = isDue(++calls) ? [1e-30, 1e20, 1e20] : []
    return scope(() => factors.reduce((loss, factor) => scale(loss, { factor }), mseLoss(prediction, target, null)))
  }
}

describe('a gradient that overflows', () => {
  it('skips its step, lowers the scale and holds the rates, and the training goes on', async () => {
    const schedule: TinyOverrides = { optimizer: { scheduler: 'linear', warmupSteps: 0 }, training: { maxSteps: 5 } }
    const fp16: TinyOverrides = { ...schedule, training: { maxSteps: 5, mixedPrecision: 'fp16', onNonFinite: 'stop' } }
    const config = { ...(await tinyTraining(model, data, fp16)), loss: overflowing((call) => call === 3) }
    const events = await eventsOf(trainNetwork(config))
    const steps = only(events, 'step')
    expect(steps.map(({ lossScaler }) => lossScaler)).toEqual([
      { scale: 65536, goodSteps: 1, overflows: 0 },
      { scale: 65536, goodSteps: 2, overflows: 0 },
      { scale: 32768, goodSteps: 0, overflows: 1 },
      { scale: 32768, goodSteps: 1, overflows: 1 },
      { scale: 32768, goodSteps: 2, overflows: 1 },
    ])
    expect(only(events, 'warning').map(({ message }) => message)).toEqual([
      'step 3: a gradient overflowed float16; the step was skipped (1 so far), and the loss is multiplied by 32768 from here on',
    ])
    expect(steps.every(({ skippedSteps }) => skippedSteps === 0)).toBe(true)
    const rates = (all: readonly StepEvent[]): (number | undefined)[] => all.map((step) => step.learningRates.unet)
    const [first, second, third, fourth] = rates(await stepsOf('a network', schedule))
    expect(rates(steps)).toEqual([first, second, third, third, fourth])
  })

  it('in one batch of several skips their common step', async () => {
    const training = { maxSteps: 3, mixedPrecision: 'fp16', gradientAccumulationSteps: 2 } as const
    const config = { ...(await tinyTraining(model, data, { training })), loss: overflowing((call) => call === 3) }
    const steps = only(await eventsOf(trainNetwork(config)), 'step')
    expect(steps.map(({ lossScaler }) => lossScaler!.overflows)).toEqual([0, 1, 1])
  })

  it('is remembered by a state: the run that goes on has the same scale, rates and bits', async () => {
    const folder = join(await makeFolder(), 'out')
    const shared: TinyOverrides = {
      training: { maxSteps: 4, mixedPrecision: 'fp16' },
      optimizer: { scheduler: 'cosine' },
      network: { trainTextEncoder: false },
    }
    const run = async (overrides: TinyOverrides, loss: LossFunction) => {
      const config = await tinyTraining(model, data, { ...shared, ...overrides })
      const events = await eventsOf(trainNetwork({ ...config, loss }))
      const steps = only(events, 'step').map(({ loss, lossScaler, learningRates }) => [loss, lossScaler, learningRates])
      return { steps: steps.slice(-1), tensors: await tensorBytes(only(events, 'end')[0]!.path!) }
    }
    const once = { output: { folder, saveEverySteps: 3 }, state: { save: true } }
    const whole = await run(
      once,
      overflowing((call) => call === 2),
    )
    const resume = join(folder, 'frog-step00000003-state')
    const resumed = await run(
      { state: { resume } },
      overflowing(() => false),
    )
    expect(whole.steps[0]![1]).toEqual({ scale: 32768, goodSteps: 2, overflows: 1 })
    expect(resumed.steps).toEqual(whole.steps)
    expect(resumed.tensors.equals(whole.tensors)).toBe(true)
    const manifest = join(resume, 'manifest.json')
    const { lossScaler: _, ...rest } = JSON.parse(await readFile(manifest, 'utf8'))
    await writeFile(manifest, JSON.stringify(rest))
    const lacking = run(
      { state: { resume } },
      overflowing(() => false),
    )
    await expect(lacking).rejects.toThrow('expected the scale of the loss, found none')
  })

  it('however small the scale is ends the training with advice', async () => {
    const training = { maxSteps: 30, mixedPrecision: 'fp16' } as const
    const config = { ...(await tinyTraining(model, data, { training })), loss: overflowing(() => true) }
    const events: TrainEvent[] = []
    const run = async (): Promise<void> => {
      for await (const event of trainNetwork(config)) events.push(event)
    }
    const error = await run().catch((thrown: unknown) => thrown)
    expect(error).toBeInstanceOf(DivergenceError)
    // 65536 is halved sixteen times to 1, where it is still too large.
    expect((error as DivergenceError).message).toMatch(
      /^step 17: a gradient overflows float16 though the loss is not enlarged any more \(lora_.*\. Train with mixed_precision bf16 or no/,
    )
    expect(only(events, 'step')).toHaveLength(16)
  })
})

describe('a VAE that goes beyond float16', () => {
  const poisoned: typeof networkTraining = {
    ...networkTraining,
    create: (context) => {
      const { tensor } = context.models.vae.registry.parameters.get('quant_conv.bias')!
      scope(() => copyInto(tensor, full(tensor.shape, Number.POSITIVE_INFINITY, { dtype: tensor.dtype })))
      return networkTraining.create(context)
    },
  }

  it('is named with the picture where latents are cached', async () => {
    const config = await tinyTraining(model, data, { training: { mixedPrecision: 'fp16' } })
    const run = eventsOf(train(poisoned, config))
    await expect(run).rejects.toThrow(DataError)
    await expect(run).rejects.toThrow(
      /\.(png|jpg|webp|bmp): the VAE, computed in float16, made a latent that is not finite: compute it in float32 \(no_half_vae/,
    )
  })

  it('does not with no_half_vae', async () => {
    const training = { maxSteps: 1, mixedPrecision: 'fp16', noHalfVae: true } as const
    const [step] = await stepsOf('a network', { training })
    expect(Number.isFinite(step!.loss)).toBe(true)
  })
})
