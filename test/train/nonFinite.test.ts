import { readdir, readFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { copyInto } from '../../lib/ops/accumulate.ts'
import { add } from '../../lib/ops/add.ts'
import { mseLoss } from '../../lib/ops/mseLoss.ts'
import { scale } from '../../lib/ops/scale.ts'
import { AdamW } from '../../lib/optim/adamW.ts'
import type { OptimizerGroup } from '../../lib/optim/customOptimizer.ts'
import type { StepOptions } from '../../lib/optim/optimizer.ts'
import { full, tensor } from '../../lib/tensor/create.ts'
import { scope } from '../../lib/tensor/scope.ts'
import type { Tensor } from '../../lib/tensor/tensor.ts'
import type { TrainEvent } from '../../lib/train/events.ts'
import type { TrainingContext, TrainingKind, TrainingMethod } from '../../lib/train/method.ts'
import { networkTraining } from '../../lib/train/methods/trainNetwork.ts'
import type { LossFunction } from '../../lib/train/step/loss.ts'
import { train } from '../../lib/train/train.ts'
import type { TrainNetworkConfig } from '../../lib/train/trainConfig.ts'
import { DivergenceError } from '../../lib/util/errors.ts'
import { baselineBuffers, liveBuffers } from '../support/device.ts'
import type { FileContent } from '../support/pictures.ts'
import {
  fourPictures,
  makeTinyData,
  only,
  saveTinyModel,
  type TinyOverrides,
  tensorBytes,
  tinyTraining,
} from '../support/tinyTraining.ts'

let model: string
let data: string
let baseline: number
beforeAll(async () => {
  model = await saveTinyModel()
  // Of the resolution itself: pictures that are not cached are not resized.
  const pictures = Object.entries(fourPictures).map(([name, content]): [string, FileContent] => [
    name,
    typeof content === 'string' ? content : [64, 64],
  ])
  data = await makeTinyData({ batchSize: 1, pictures: Object.fromEntries(pictures) })
})
beforeEach(async () => {
  baseline = await baselineBuffers()
})
afterEach(async () => {
  expect(await liveBuffers(), 'buffers left by the run').toBe(baseline)
})

type Context = TrainingContext<TrainNetworkConfig>

/** The training of a network, its method changed. */
function kindWith(change: (method: TrainingMethod, context: Context) => void): TrainingKind<TrainNetworkConfig> {
  return {
    ...networkTraining,
    create: async (context) => {
      const method = await networkTraining.create(context)
      change(method, context)
      return method
    },
  }
}

function fill(target: Tensor, value: number): void {
  scope(() => copyInto(target, full(target.shape, value, { dtype: target.dtype })))
}

const nan = Number.NaN

interface Outcome {
  readonly events: readonly TrainEvent[]
  readonly error: unknown
  readonly warnings: readonly string[]
  readonly config: TrainNetworkConfig
}

async function run(
  kind: TrainingKind<TrainNetworkConfig>,
  overrides: TinyOverrides & { loss?: LossFunction } = {},
): Promise<Outcome> {
  const { loss, ...blocks } = overrides
  const config = { ...(await tinyTraining(model, data, blocks)), ...(loss && { loss }) }
  const events: TrainEvent[] = []
  let error: unknown = null
  try {
    for await (const event of train(kind, config)) events.push(event)
  } catch (thrown) {
    error = thrown
  }
  return { events, error, warnings: only(events, 'warning').map(({ message }) => message), config }
}

/** The U-Net's own weight, frozen in a training of a network. */
const frozen = 'down_blocks.1.resnets.0.conv1.weight'

const plain = kindWith(() => {})
const poisonedEncoder = kindWith((method) => {
  const condition = method.condition.bind(method)
  method.condition = (captions, key) => {
    const hidden = condition(captions, key) as Tensor
    if (!captions.some((caption) => caption.includes('leaf'))) return hidden
    const poisoned = scope(() => add(hidden, full([1], nan)))
    hidden.dispose()
    return poisoned
  }
})
const poisonedWeight = kindWith((_method, { models }) => fill(models.unet.registry.parameters.get(frozen)!.tensor, nan))
const poisonedLatents = kindWith((_method, { models }) => {
  for (const [name, { tensor }] of models.vae.registry.parameters) if (name === 'quant_conv.bias') fill(tensor, nan)
})
const brokenLoss: LossFunction = ({ prediction, target }) =>
  scope(() => add(mseLoss(prediction, target, null), tensor([nan], [])))
/** The loss is ten thousand million times the usual one; on the way back 1e20 is multiplied twice, which overflows. */
const brokenGradient: LossFunction = ({ prediction, target }) =>
  scope(() => [1e-30, 1e20, 1e20].reduce((loss, factor) => scale(loss, { factor }), mseLoss(prediction, target, null)))

describe('a NaN', () => {
  it.each<[string, TrainingKind<TrainNetworkConfig>, LossFunction | undefined, RegExp, string]>([
    ['a latent', poisonedLatents, undefined, /^step 1: the loss is NaN and the gradient of/, 'the latents'],
    [
      'the weights of a layer',
      poisonedWeight,
      undefined,
      /^step 1: the loss is NaN and the/,
      `the parameter unet.${frozen}`,
    ],
    ['the loss function', plain, brokenLoss, /^step 1: the loss is NaN;/, 'the loss'],
    ['a gradient', plain, brokenGradient, /^step 1: the gradient of lora_/, 'the backward pass'],
  ])('in %s is found in its step, which is skipped and named', async (_where, kind, loss, start, place) => {
    const { events, error, warnings } = await run(kind, {
      ...(loss && { loss }),
      data: { cacheLatents: false },
      training: { maxSteps: 1 },
    })
    expect(error).toBeNull()
    expect(warnings).toHaveLength(1)
    expect(warnings[0]).toMatch(start)
    expect(warnings[0]).toContain(`The first value that is not finite is in ${place}.`)
    expect(warnings[0]).toMatch(/Pictures: \S+\.(png|jpg|webp|bmp)\.$/)
    expect(only(events, 'step')[0]).toMatchObject({ skippedSteps: 1 })
  })

  it('in the hidden states of a caption names the pictures with that caption alone', async () => {
    const { warnings, events } = await run(poisonedEncoder, {
      network: { trainTextEncoder: false },
      training: { maxSteps: 2, gradientAccumulationSteps: 2 },
    })
    expect(warnings).toHaveLength(1)
    expect(warnings[0]).toContain('is in the hidden states of the captions. Pictures: ')
    expect(basename(warnings[0]!.split(' ').at(-1)!)).toBe('a.png.')
    expect(
      only(events, 'step')
        .map(({ loss }) => Number.isFinite(loss))
        .toSorted(),
    ).toEqual([false, true])
  })

  it.each([
    ['a loss', brokenLoss],
    ['a gradient', brokenGradient],
  ])('in %s ends a training that shall not skip, with the pictures in the error', async (_where, loss) => {
    const { error, events, config } = await run(plain, { loss, training: { maxSteps: 3, onNonFinite: 'stop' } })
    expect(error).toBeInstanceOf(DivergenceError)
    expect((error as DivergenceError).pictures).toHaveLength(1)
    expect(only(events, 'step')).toEqual([])
    await expect(readFile(join(config.output.folder, 'frog.safetensors'))).rejects.toThrow('ENOENT')
  })

  it('in the state of the optimizer is found in the next step, names the parameter, and reaches no file', async () => {
    let steps = 0
    class Poisoned extends AdamW {
      constructor(groups: readonly OptimizerGroup[]) {
        super(groups, { learningRate: 1e-3 })
      }

      override step(options?: StepOptions): void {
        if (++steps === 2) fill([...this.state().tensors.values()][0]!, nan)
        super.step(options)
      }
    }
    const { error, warnings, config } = await run(plain, { optimizer: { type: Poisoned }, training: { maxSteps: 3 } })
    expect(warnings).toHaveLength(1)
    expect(warnings[0]).toMatch(/^step 3: the loss is NaN/)
    expect(warnings[0]).toContain('The first value that is not finite is in the parameter lora_te_')
    expect(error).toBeInstanceOf(DivergenceError)
    expect((error as DivergenceError).parameters).toHaveLength(1)
    expect(await readdir(config.output.folder)).toEqual([])
  })

  it('in one step leaves no trace in the weights, and names the op after the last layer before it', async () => {
    const { events, error, warnings } = await run(poisonedEncoder, { training: { maxSteps: 4 } })
    expect(error).toBeNull()
    expect(warnings).toEqual([expect.stringMatching(/ is in the result of add after lora_te_.*_fc2\.lora_down\. /)])
    expect(only(events, 'step').at(-1)).toMatchObject({ skippedSteps: 1 })
    expect(only(events, 'save')).toHaveLength(1)
  })
})

describe('weights that are not finite', () => {
  it('never replace a good file', async () => {
    const output = { saveEverySteps: 1 }
    let steps = 0
    const breaking = kindWith((method) => {
      method.afterPass = () => {
        if (++steps === 3) fill(method.groups[0]!.params[2]!.master, nan)
        return undefined
      }
    })
    const good = await run(plain, { output, training: { maxSteps: 4 } })
    const { folder } = good.config.output
    const files = [3, 4].map((step) => join(folder, `frog-step0000000${step}.safetensors`))
    const before = await Promise.all([...files, join(folder, 'frog.safetensors')].map(tensorBytes))
    const { error, events } = await run(breaking, { output: { ...output, folder }, training: { maxSteps: 4 } })
    expect(error).toBeInstanceOf(DivergenceError)
    expect((error as DivergenceError).message).toMatch(
      /frog-step00000003\.safetensors: nothing was written: after step 3, weights are not/,
    )
    expect((error as DivergenceError).parameters).toEqual([expect.stringMatching(/^lora_te_.*\.lora_down\.weight$/)])
    expect(only(events, 'save').map(({ step }) => step)).toEqual([1, 2])
    const after = await Promise.all([...files, join(folder, 'frog.safetensors')].map(tensorBytes))
    expect(after.map((bytes, i) => bytes.equals(before[i]!))).toEqual([true, true, true])
  })
})
