import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { TrainEvent } from '../../../lib/train/events.ts'
import { planStart } from '../../../lib/train/plan/runStart.ts'
import { trainNetwork } from '../../../lib/train/trainings.ts'
import { ConfigError } from '../../../lib/util/errors.ts'
import { baselineBuffers, liveBuffers } from '../../support/device.ts'
import {
  eventsOf,
  makeTinyData,
  only,
  saveTinyModel,
  type TinyOverrides,
  tinyTraining,
} from '../../support/tinyTraining.ts'

describe('planStart', () => {
  // Ten batches, four to a step: three steps an epoch.
  const run = { batchesPerEpoch: 10, gradientAccumulationSteps: 4 }
  const plan = { totalSteps: 11, epochCount: 4 }
  const atStart = { step: 0, epoch: 0, batch: 0, position: 0, passes: 0, before: { steps: 0, epochs: 0 } }

  it('begins at the start where nothing else is asked for', () => {
    for (const start of [undefined, null, { at: { step: 0 }, skip: true }, { at: { epoch: 1 }, skip: false }])
      expect(planStart(start, plan, run)).toEqual({ position: atStart, lastStep: 11 })
  })

  it('leaves out whole epochs and counts steps from 0', () => {
    const position = { ...atStart, epoch: 1, batch: 10 }
    for (const at of [{ step: 3 }, { step: 5 }, { epoch: 2 }])
      expect(planStart({ at, skip: false }, plan, run)).toEqual({ position, lastStep: 9 })
  })

  it('passes over steps, counts them, and goes on within an epoch', () => {
    const before = { steps: -5, epochs: 0 }
    expect(planStart({ at: { step: 5 }, skip: true }, plan, run)).toEqual({
      position: { step: 5, epoch: 2, batch: 8, position: 0, passes: 18, before },
      lastStep: 11,
    })
    expect(planStart({ at: { epoch: 3 }, skip: true }, plan, run).position).toEqual({
      ...{ step: 6, epoch: 2, batch: 10, position: 0, passes: 20 },
      before: { steps: -6, epochs: 0 },
    })
  })

  it('refuses to leave nothing to train', () => {
    const planned = () => planStart({ at: { step: 11 }, skip: true }, plan, run)
    expect(planned).toThrow('--initial_step leaves nothing to train: expected less than the 11 steps')
    expect(() => planStart({ at: { epoch: 5 }, skip: false }, plan, run)).toThrow('--initial_epoch leaves nothing')
  })
})

describe('a training that begins later', () => {
  let model: string
  let data: string
  let baseline: number
  beforeAll(async () => {
    model = await saveTinyModel()
    data = await makeTinyData({ subset: 'shuffle_caption = true\nflip_aug = true' })
  })
  beforeEach(async () => {
    baseline = await baselineBuffers()
  })
  afterEach(async () => {
    expect(await liveBuffers(), 'buffers left by the run').toBe(baseline)
  })

  /** Six steps, two an epoch, of a network that does not learn: a loss depends on the data and the noise of its step alone. */
  async function stepsOf(training: TinyOverrides['training']) {
    const optimizer = { learningRate: 0, scheduler: 'linear' as const }
    const options = { network: { trainTextEncoder: false }, optimizer, training: { maxSteps: 6, ...training } }
    const events: TrainEvent[] = await eventsOf(trainNetwork(await tinyTraining(model, data, options)))
    return only(events, 'step').map(({ step, totalSteps, epoch, loss }) => ({ step, totalSteps, epoch, loss }))
  }

  it('has the data and the noise of its steps, or only those of its epoch', async () => {
    const whole = await stepsOf({})
    expect(await stepsOf({ start: { at: { step: 3 }, skip: true } })).toEqual(whole.slice(3))
    const later = await stepsOf({ start: { at: { epoch: 2 }, skip: false } })
    expect(later).toEqual(whole.slice(2).map((step, at) => ({ ...step, step: at + 1, totalSteps: 4 })))
  })

  it('begins with the learning rates of a beginning', async () => {
    const options = {
      optimizer: { scheduler: 'linear' as const },
      training: { maxSteps: 5, start: { at: { step: 3 }, skip: true } },
    }
    const events = await eventsOf(trainNetwork(await tinyTraining(model, data, options)))
    const rates = only(events, 'step').map(({ learningRates }) => learningRates.unet)
    expect(rates).toEqual([1e-3, 0.8 * 1e-3])
  })

  it('does not go on from a state as well', async () => {
    const start = { at: { step: 3 }, skip: true }
    const config = await tinyTraining(model, data, { training: { start }, state: { resume: 'state' } })
    await expect(eventsOf(trainNetwork(config))).rejects.toThrow(ConfigError)
  })
})
