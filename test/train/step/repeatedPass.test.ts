/** Training steps that are repeated by recordings: the same bits as steps whose ops are called, for every way of training. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Recorder } from '../../../lib/autograd/recorder.ts'
import { noiseSchedule } from '../../../lib/diffusion/noiseSchedule.ts'
import { loadClipTokenizer } from '../../../lib/models/clip/tokenizer.ts'
import { StableDiffusion } from '../../../lib/models/stableDiffusion/stableDiffusion.ts'
import { AdamW } from '../../../lib/optim/adamW.ts'
import type { OptimizerParameter } from '../../../lib/optim/optimizer.ts'
import { randomNormal } from '../../../lib/tensor/create.ts'
import { CaptionEncoder } from '../../../lib/train/inputs/conditioning.ts'
import { LoraMethod } from '../../../lib/train/methods/lora.ts'
import { LossScaler } from '../../../lib/train/step/lossScaler.ts'
import type { NoiseOptions } from '../../../lib/train/step/noise.ts'
import { type StepMethod, TrainingStep, type TrainingStepOptions } from '../../../lib/train/step/trainingStep.ts'
import { baselineBuffers, liveBuffers } from '../../support/device.ts'
import { formulaWeights, tinyConfigs } from '../../support/tinyModels.ts'

const noise: NoiseOptions = {
  seed: 1n,
  schedule: noiseSchedule(),
  predictionType: 'epsilon',
  noiseOffset: 0.05,
  adaptiveNoiseScale: null,
}
const captions = { clipSkip: 1, sequenceLength: 77, dtype: 'float32' } as const
const prefixes = { unet: 'unet', textEncoder: 'text_encoder', vae: 'vae' } as const
const steps = 8

let baseline: number
beforeAll(async () => {
  baseline = await baselineBuffers()
})
afterAll(async () => {
  expect(await liveBuffers()).toBe(baseline)
})

interface Way {
  readonly method: StepMethod
  readonly parameters: readonly OptimizerParameter[]
  dispose(): void
}
type Make = (models: StableDiffusion) => Promise<Way>

const lora =
  (options: { readonly dropout?: number; readonly trainTextEncoder?: boolean }): Make =>
  async (models) => {
    const { dropout = null, trainTextEncoder = true } = options
    const settings = { rank: 2, seed: 1, trainUnet: true, trainTextEncoder, captions, dropout }
    const method = new LoraMethod(models, await loadClipTokenizer(), settings)
    return { method, parameters: method.network.parameters(), dispose: () => method.dispose() }
  }

const whole: Make = async (models) => {
  const encoder = new CaptionEncoder(await loadClipTokenizer(), models.textEncoder, captions)
  const parameters = [models.unet, models.textEncoder].flatMap((part, i) =>
    Array.from(part.registry.parameters.values(), ({ name, tensor }) => {
      tensor.requiresGrad = true
      return { name: `${i}.${name}`, master: tensor }
    }),
  )
  return { method: { repeats: true, condition: (texts) => encoder.encode(texts) }, parameters, dispose: () => {} }
}

interface Trained {
  readonly losses: readonly number[]
  readonly parameters: readonly number[][]
}

/** Eight batches of two shapes in alternation, with masks, weights and strengths that change. */
async function train(
  make: Make,
  recorder: Recorder | null,
  changed: Partial<TrainingStepOptions> & { readonly checkpointing?: boolean } = {},
): Promise<Trained> {
  const { checkpointing = false, ...options } = changed
  const models = new StableDiffusion(tinyConfigs.tinySd1, (part) => formulaWeights(prefixes[part]))
  models.unet.gradientCheckpointing = checkpointing
  const { method, parameters, dispose } = await make(models)
  const optimizer = new AdamW([{ params: parameters, learningRate: 1e-3 }])
  const step = new TrainingStep({
    unet: models.unet,
    method,
    optimizer,
    noise,
    loss: {},
    gradientAccumulationSteps: 1,
    maxGradNorm: 1,
    recorder,
    ...options,
  })
  const losses: number[] = []
  try {
    for (let at = 0; at < steps; at++) {
      const [h, w] = at % 2 === 0 ? [8, 8] : [8, 16]
      const latents = randomNormal([2, h, w, 4], { seed: at })
      await step.accumulate({
        key: { epoch: 1, batch: at },
        latents,
        captions: ['a frog', `frog ${at}`],
        lossWeights: [1, at / 8],
        mask: Float32Array.from({ length: 2 * h * w }, (_, i) => ((i + at) % 5) / 4),
        networkMultiplier: at < 6 ? 1 : 0.5,
      })
      latents.dispose()
      if (step.accumulated === (options.gradientAccumulationSteps ?? 1)) losses.push((await step.update(1)).loss)
    }
    return {
      losses,
      parameters: await Promise.all(parameters.map(async ({ master }) => Array.from(await master.read(), Number))),
    }
  } finally {
    step.dispose()
    recorder?.dispose()
    optimizer.dispose()
    dispose()
    models.dispose()
  }
}

describe('repeated passes give the bits of passes that are called', () => {
  it.each<[string, Make, Parameters<typeof train>[2], { readonly replays: number; readonly recordings: number }]>([
    ['a LoRA of both parts', lora({}), {}, { replays: 2, recordings: 2 }],
    [
      'a LoRA of the U-Net',
      lora({ trainTextEncoder: false }),
      { loss: { type: 'huber', minSnrGamma: 5 } },
      { replays: 2, recordings: 2 },
    ],
    ['a LoRA, checkpointed', lora({}), { checkpointing: true }, { replays: 2, recordings: 2 }],
    ['a LoRA, accumulated', lora({}), { gradientAccumulationSteps: 2 }, { replays: 2, recordings: 2 }],
    ['whole models', whole, {}, { replays: 2, recordings: 2 }],
    ['whole models, accumulated', whole, { gradientAccumulationSteps: 4 }, { replays: 2, recordings: 2 }],
  ])('of %s', async (_, make, options, expected) => {
    let report: ReturnType<Recorder['report']> | null = null
    class Reporting extends Recorder {
      override dispose(): void {
        report ??= this.report()
        super.dispose()
      }
    }
    const repeated = await train(make, new Reporting(), options)
    expect(repeated).toEqual(await train(make, null, options))
    expect(report).toMatchObject({ ...expected, refused: [] })
  })

  it('while the scale of the loss changes', async () => {
    const scaler = (): LossScaler => new LossScaler({ initialScale: 64, growthInterval: 6 })
    const repeated = await train(lora({}), new Recorder(), { lossScaler: scaler() })
    expect(repeated).toEqual(await train(lora({}), null, { lossScaler: scaler() }))
  })
})

describe('passes that differ are called', () => {
  it('with dropout, whose masks are never the same', async () => {
    const refused: string[] = []
    const recorder = new Recorder({ onRefused: ({ op }) => refused.push(op) })
    const repeated = await train(lora({ dropout: 0.3 }), recorder)
    expect(repeated).toEqual(await train(lora({ dropout: 0.3 }), null))
    expect(new Set(refused)).toEqual(new Set(['dropout']))
  })

  it('where a method does not say that they repeat', async () => {
    const silent: Make = async (models) => {
      const way = await whole(models)
      return { ...way, method: { condition: way.method.condition } }
    }
    const recorder = new Recorder()
    await train(silent, recorder)
    expect(recorder.report()).toMatchObject({ recordings: 0, replays: 0 })
  })
})
