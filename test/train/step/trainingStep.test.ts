import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { noiseSchedule } from '../../../lib/diffusion/noiseSchedule.ts'
import { loadClipTokenizer } from '../../../lib/models/clip/tokenizer.ts'
import { StableDiffusion } from '../../../lib/models/stableDiffusion/stableDiffusion.ts'
import { writeStored } from '../../../lib/networks/networkBranch.ts'
import { elementLoss } from '../../../lib/ops/elementLoss.ts'
import { mseLoss } from '../../../lib/ops/mseLoss.ts'
import { AdamW } from '../../../lib/optim/adamW.ts'
import { randomNormal, tensor } from '../../../lib/tensor/create.ts'
import { LoraMethod } from '../../../lib/train/methods/lora.ts'
import type { LossInputs } from '../../../lib/train/step/loss.ts'
import { drawTimesteps, type NoiseOptions } from '../../../lib/train/step/noise.ts'
import { type TrainBatch, TrainingStep, type TrainingStepOptions } from '../../../lib/train/step/trainingStep.ts'
import { baselineBuffers, liveBuffers } from '../../support/device.ts'
import { formulaWeights, tinyConfigs } from '../../support/tinyModels.ts'

const noise: NoiseOptions = {
  seed: 1n,
  schedule: noiseSchedule(),
  predictionType: 'epsilon',
  noiseOffset: 0.05,
  adaptiveNoiseScale: null,
}
const key = { epoch: 1, batch: 3 }
const lossWeights = [1, 0.5]

let models: StableDiffusion
let method: LoraMethod
let batch: TrainBatch
let baseline: number

beforeAll(async () => {
  baseline = await baselineBuffers()
  const prefixes = { unet: 'unet', textEncoder: 'text_encoder', vae: 'vae' } as const
  models = new StableDiffusion(tinyConfigs.tinySd1, (part) => formulaWeights(prefixes[part]))
  const captions = { clipSkip: 1, sequenceLength: 77, dtype: 'float32' } as const
  const options = { rank: 2, seed: 1, trainUnet: true, trainTextEncoder: true, captions }
  method = new LoraMethod(models, await loadClipTokenizer(), options)
  batch = { key, latents: randomNormal([2, 8, 8, 4], { seed: 6 }), captions: ['a frog', ''], lossWeights }
})
afterAll(async () => {
  batch.latents.dispose()
  method.dispose()
  models.dispose()
  expect(await liveBuffers()).toBe(baseline)
})

/** Something done with a trainer of its own, which changes no parameter. */
async function withTrainer<T>(
  loss: TrainingStepOptions['loss'],
  use: (trainer: TrainingStep) => Promise<T>,
): Promise<T> {
  const optimizer = new AdamW([{ params: method.network.parameters(), learningRate: 0 }])
  const options = { unet: models.unet, method, optimizer, noise, loss, gradientAccumulationSteps: 1, maxGradNorm: 1 }
  try {
    return await use(new TrainingStep(options))
  } finally {
    optimizer.dispose()
  }
}

/** The loss of one step on the batch. */
function step(loss: TrainingStepOptions['loss'], changed: Partial<TrainBatch> = {}): Promise<number> {
  return withTrainer(loss, async (trainer) => {
    await trainer.accumulate({ ...batch, ...changed })
    return (await trainer.update(1)).loss
  })
}

function evaluate(loss: TrainingStepOptions['loss'], timesteps: readonly number[]): Promise<number> {
  return withTrainer(loss, (trainer) => trainer.evaluate(batch, timesteps))
}

describe('the loss of a step', () => {
  it('may be a function of prediction, target, timesteps, weights and mask', async () => {
    const seen: LossInputs[] = []
    const mask = new Float32Array(2 * 8 * 8).fill(0.25)
    const own = await step(
      (inputs) => {
        seen.push(inputs)
        return elementLoss(inputs.prediction, inputs.target, tensor([1, 0.5], [2]), null, inputs.mask, { type: 'l1' })
      },
      { mask },
    )
    expect(own).toBe(await step({ type: 'l1' }, { mask }))
    expect(seen).toMatchObject([
      { timesteps: drawTimesteps(2, noise, key), lossWeights, predictionType: 'epsilon', schedule: noise.schedule },
    ])
    expect(await step({ type: 'l1' })).toBeCloseTo(4 * own, 5)
  })

  it('may look at the attributes of the pictures', async () => {
    const attributes = [{ mood: 'calm' }, {}]
    const seen: unknown[] = []
    const own: TrainingStepOptions['loss'] = (inputs) => {
      seen.push(inputs.attributes)
      return mseLoss(inputs.prediction, inputs.target, null)
    }
    await step(own, { attributes })
    expect(seen).toEqual([attributes])
  })

  it('is that of a network of the strength of the batch', async () => {
    const plain = await step({})
    const ups = method.network.modules.map(({ branch }) => branch.stored.find(({ suffix }) => suffix.includes('up'))!)
    for (const up of ups) writeStored(up, new Float32Array(up.tensor.size).fill(0.05))
    const without = await step({}, { networkMultiplier: 0 })
    const half = await step({}, { networkMultiplier: 0.5 })
    const whole = await step({})
    for (const up of ups) writeStored(up, new Float32Array(up.tensor.size))
    expect(without).toBe(plain)
    expect(new Set([without, half, whole]).size).toBe(3)
  })

  it('must be one number', async () => {
    await expect(evaluate(({ prediction }) => prediction, [1, 2])).rejects.toThrow(
      'TrainingStep: loss must be one float32 number, of shape [], received float32 [2, 8, 8, 4]',
    )
  })

  it('does not count what the mask leaves out', async () => {
    const mask = new Float32Array(2 * 8 * 8)
    expect(await step({}, { mask })).toBe(0)
    mask.fill(1)
    expect(await step({ type: 'huber' }, { mask })).toBe(await step({ type: 'huber' }))
  })

  it('without options is the mean squared error', async () => {
    expect(await step({})).toBe(
      await step(({ prediction, target }) => mseLoss(prediction, target, tensor([1, 0.5], [2]))),
    )
  })
})

describe('an evaluation', () => {
  it('gives the loss of a step at the same timesteps, and leaves gradients alone', async () => {
    const timesteps = drawTimesteps(2, noise, key)
    const found = await withTrainer({ minSnrGamma: 5 }, async (trainer) => {
      const before = await liveBuffers()
      const loss = await trainer.evaluate(batch, timesteps)
      expect(await liveBuffers()).toBe(before)
      expect(method.network.parameters().every(({ master }) => master.grad === null)).toBe(true)
      expect(trainer.accumulated).toBe(0)
      return loss
    })
    expect(found).toBe(await step({ minSnrGamma: 5 }))
  })

  it('is at the timesteps that it is given', async () => {
    const early = await evaluate({}, [200, 200])
    expect(await evaluate({}, [200, 200])).toBe(early)
    expect(await evaluate({}, [800, 800])).not.toBe(early)
  })
})
