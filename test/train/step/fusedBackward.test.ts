/** Trainings that step parameters within the backward pass: the bits of those that do not. */
import { join } from 'node:path'
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { HeavyBall } from '../../../examples/customOptimizer.ts'
import { add } from '../../../lib/ops/add.ts'
import { mean } from '../../../lib/ops/mean.ts'
import { mseLoss } from '../../../lib/ops/mseLoss.ts'
import { scale } from '../../../lib/ops/scale.ts'
import { tensor } from '../../../lib/tensor/create.ts'
import { memory, resetPeak, setThreadCount, threadCount } from '../../../lib/tensor/runtime.ts'
import { scope } from '../../../lib/tensor/scope.ts'
import type { Tensor } from '../../../lib/tensor/tensor.ts'
import type { TrainEvent } from '../../../lib/train/events.ts'
import { fineTuning } from '../../../lib/train/methods/fineTune.ts'
import { stateFiles } from '../../../lib/train/state/manifest.ts'
import type { LossFunction } from '../../../lib/train/step/loss.ts'
import type { DreamBoothConfig, FineTuneConfig } from '../../../lib/train/trainConfig.ts'
import { Trainer } from '../../../lib/train/trainer.ts'
import { fineTune, trainDreamBooth } from '../../../lib/train/trainings.ts'
import { baselineBuffers, liveBuffers } from '../../support/device.ts'
import { smallDwarf } from '../../support/dwarfModel.ts'
import { makeFolder } from '../../support/pictures.ts'
import {
  eventsOf,
  makeTinyData,
  only,
  saveTinyModel,
  type TinyOverrides,
  tensorBytes,
} from '../../support/tinyTraining.ts'
import { makeTinyMetadata, tinyDreamBooth, tinyFineTune } from '../../support/tinyTrainings.ts'

let model: string
let data: string
let metadata: string
let baseline: number
const threads = threadCount()
beforeAll(async () => {
  model = await saveTinyModel(smallDwarf)
  data = await makeTinyData({ pictures: { 'a.png': [64, 64], 'a.txt': 'sks frog', 'b.png': [64, 64], 'b.txt': 'a' } })
  metadata = await makeTinyMetadata({ 'a.png': [64, 64], 'b.png': [64, 64] })
})
beforeEach(async () => {
  baseline = await baselineBuffers()
})
afterEach(async () => {
  setThreadCount(threads)
  expect(await liveBuffers(), 'buffers left by the run').toBe(baseline)
})

type Overrides = TinyOverrides & {
  readonly fineTune?: Partial<FineTuneConfig['fineTune']>
  readonly dreamBooth?: Partial<DreamBoothConfig['dreamBooth']>
}

interface Trained {
  readonly events: readonly TrainEvent[]
  readonly state: string
  /** Weights and states of the optimizer, after the last step. */
  readonly bytes: readonly Buffer[]
  readonly steps: ReturnType<typeof factsOf>
}

/** What a step tells, but for its norm, which is added up in another order. */
function factsOf(events: readonly TrainEvent[]) {
  return only(events, 'step').map(({ stepsPerSecond: _, memory: __, gradientNorm: ___, ...facts }) => facts)
}

/** Two steps, or as many as `overrides` tell, and the state after them. */
async function train(fused: boolean, { fineTune: tuning, dreamBooth, ...overrides }: Overrides = {}): Promise<Trained> {
  const folder = join(await makeFolder(), 'out')
  const config = {
    ...overrides,
    optimizer: { maxGradNorm: 0, ...overrides.optimizer },
    training: { gradientCheckpointing: true, fusedBackwardPass: fused, ...overrides.training },
    output: { saveAs: 'safetensors', folder, ...overrides.output },
    state: { saveAtEnd: true, ...overrides.state },
  } as const
  const training = dreamBooth
    ? trainDreamBooth(await tinyDreamBooth(model, data, { ...config, dreamBooth }))
    : fineTune(await tinyFineTune(model, metadata, { ...config, ...(tuning && { fineTune: tuning }) }))
  const events = await eventsOf(training)
  const state = join(folder, 'frog-state')
  const files = stateFiles(state)
  const bytes = await Promise.all([only(events, 'end')[0]!.path!, files.parameters, files.optimizer].map(tensorBytes))
  return { events, state, bytes, steps: factsOf(events) }
}

function expectSame(fused: Trained, plain: Trained): void {
  expect(fused.steps).toEqual(plain.steps)
  expect(fused.bytes.map((bytes, i) => bytes.equals(plain.bytes[i]!))).toEqual([true, true, true])
  const [norms, others] = [fused, plain].map(({ events }) => only(events, 'step').map((step) => step.gradientNorm))
  norms!.forEach((norm, i) => {
    expect(Math.abs(norm / others![i]! - 1)).toBeLessThan(1e-6)
  })
}

const both = { fineTune: { trainTextEncoder: true, textEncoderLearningRate: 1e-4 } } as const
const ownLoss: LossFunction = ({ prediction, target }) => mseLoss(prediction, target, null)
const codes = { min_8bit_size: 16 } as const
const bf16 = { mixedPrecision: 'bf16' } as const
const full = { ...bf16, fullPrecision: true } as const
const kept = { gradientCheckpointing: false } as const

describe('fused_backward_pass', () => {
  it.each<[string, Overrides]>([
    ['AdamW8bit in float32, with the text encoder', { optimizer: { type: 'AdamW8bit', arguments: codes }, ...both }],
    ['AdamW8bit in bfloat16 alone', { optimizer: { type: 'AdamW8bit', arguments: codes }, training: full, ...both }],
    ['AdamW without checkpointing', { training: kept, ...both }],
    ['AdamW in bfloat16 with float32 masters', { training: bf16 }],
    ['AdEMAMix', { optimizer: { type: 'AdEMAMix' } }],
    ['AdaFactor in bfloat16 alone', { optimizer: { type: 'AdaFactor' }, training: full }],
    ['CAME without checkpointing', { optimizer: { type: 'CAME' }, training: kept }],
    ['Muon in bfloat16 alone', { optimizer: { type: 'Muon' }, training: full }],
    ['PagedAdamW8bit', { optimizer: { type: 'PagedAdamW8bit', arguments: { resident_bytes: 1000 } }, ...both }],
    ['AdamWScheduleFree', { optimizer: { type: 'AdamWScheduleFree', arguments: { r: 1 } }, ...both }],
    ['a class of the user', { optimizer: { type: HeavyBall, arguments: { momentum: 0.5 } } }],
    ['a loss of the user', { loss: ownLoss, optimizer: { type: 'Lion' } }],
    [
      'DreamBooth with long captions, past the end of the text encoder',
      { dreamBooth: { stopTextEncoderTraining: 1 }, model: { maxTokenLength: 225 }, training: full },
    ],
  ])('gives the bits of steps after the pass: %s', async (_name, overrides) => {
    expectSame(await train(true, overrides), await train(false, overrides))
  })

  it('gives the same bits on any number of threads', async () => {
    const overrides: Overrides = { optimizer: { type: 'AdamW8bit', arguments: codes }, training: full }
    setThreadCount(1)
    const one = await train(true, overrides)
    setThreadCount(3)
    expectSame(await train(true, overrides), one)
  })

  it('goes on from a state, also from one of steps after the pass', async () => {
    const overrides = (maxSteps: number, resume: string | null): Overrides => ({
      ...both,
      optimizer: { type: 'AdamW8bit', arguments: codes },
      training: { ...full, maxSteps },
      state: { saveAtEnd: true, resume },
    })
    const whole = await train(false, overrides(3, null))
    for (const first of [true, false]) {
      const { state } = await train(first, overrides(2, null))
      const { bytes } = await train(true, overrides(3, state))
      expect(bytes.map((each, i) => each.equals(whole.bytes[i]!))).toEqual([true, true, true])
    }
  })

  it('never holds all gradients', async () => {
    const wide = await saveTinyModel({ ...smallDwarf, unet: { ...smallDwarf.unet, blockOutChannels: [96, 96] } })
    /** Bytes of a step beside weights and states, and those of all gradients. */
    const bytesOf = async (fused: boolean) => {
      const training = { maxSteps: 1, gradientCheckpointing: true, fusedBackwardPass: fused }
      const config = await tinyFineTune(wide, metadata, { optimizer: { maxGradNorm: 0 }, training })
      let [before, taken, gradients] = [0, 0, 0]
      for await (const event of fineTune(config)) {
        if (event.type === 'start') gradients = 4 * event.trainableParameters
        if (event.type === 'epoch') {
          before = memory().liveBytes
          resetPeak()
        }
        if (event.type === 'step') taken = event.memory!.peakBytes - before
      }
      return { taken, gradients }
    }
    const [fused, plain] = [await bytesOf(true), await bytesOf(false)]
    expect(plain.taken / plain.gradients).toBeGreaterThan(1)
    expect(fused.taken / fused.gradients).toBeLessThan(0.5)
  })
})

describe('with fused_backward_pass, what is not finite', () => {
  /** NaN for the first batch. */
  const brokenAtFirst = (): LossFunction => {
    let calls = 0
    return ({ prediction, target }) =>
      scope(() => add(mseLoss(prediction, target, null), tensor([calls++ === 0 ? Number.NaN : 0], [])))
  }

  it('in a loss changes nothing', async () => {
    const runs = []
    for (const fused of [true, false])
      runs.push(await train(fused, { loss: brokenAtFirst(), training: { maxSteps: 2 } }))
    const [fused, plain] = runs as [Trained, Trained]
    expect(fused.bytes.map((bytes, i) => bytes.equals(plain.bytes[i]!))).toEqual([true, true, true])
    expect(only(fused.events, 'warning')).toEqual(only(plain.events, 'warning'))
    expect(only(fused.events, 'step').map(({ skippedSteps }) => skippedSteps)).toEqual([1, 1])
  })

  it('in a gradient leaves its parameter and the states of that as they are, and is told', async () => {
    const broken = 'unet.conv_out.bias'
    let bias: Tensor | null = null
    /** On the way back, 1e20 is multiplied twice. */
    const loss: LossFunction = ({ prediction, target }) =>
      scope(() => {
        const term = [1e-30, 1e20, 1e20].reduce((x, factor) => scale(x, { factor }), mean(bias!))
        return add(mseLoss(prediction, target, null), term)
      })
    const config = await tinyFineTune(model, metadata, {
      loss,
      optimizer: { maxGradNorm: 0 },
      training: { maxSteps: 1, fusedBackwardPass: true },
    })
    const trainer = await Trainer.open(fineTuning, config)
    try {
      const parameters = trainer.method.groups.flatMap(({ params }) => params)
      bias = parameters.find(({ name }) => name === broken)!.master
      const read = () => Promise.all(parameters.map(({ master }) => master.read()))
      const before = await read()
      const events = await eventsOf(trainer.run())
      const after = await read()
      const same = parameters.filter((_, i) => Buffer.from(after[i]!.buffer).equals(Buffer.from(before[i]!.buffer)))
      expect(same.map(({ name }) => name)).toEqual([broken])
      expect(only(events, 'warning').map(({ message }) => message)).toEqual([
        expect.stringMatching(
          /^step 1: the gradient of unet\.conv_out\.bias is not finite; only other parameters were stepped \(1 so far; 10 in a row end the training\)\. The first value that is not finite is in the backward pass\. Pictures: /,
        ),
      ])
      expect(only(events, 'step')[0]).toMatchObject({ skippedSteps: 1, gradientNorm: Number.POSITIVE_INFINITY })
    } finally {
      trainer.dispose()
    }
  })
})
