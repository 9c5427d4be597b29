import { readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { saveDiffusersFolder } from '../../lib/checkpoints/diffusersFolder.ts'
import { tinySd1 } from '../../lib/models/stableDiffusion/config.ts'
import { StableDiffusion } from '../../lib/models/stableDiffusion/stableDiffusion.ts'
import { randomWeights } from '../../lib/nn/init.ts'
import type { TrainEvent } from '../../lib/train/events.ts'
import { networkTraining } from '../../lib/train/methods/trainNetwork.ts'
import { comparedOptions } from '../../lib/train/state/comparedOptions.ts'
import { fineTune, trainDreamBooth, trainNetwork } from '../../lib/train/trainings.ts'
import { verifyResume } from '../../lib/train/verifyResume.ts'
import { CheckpointError, ConfigError, DataError, IoError } from '../../lib/util/errors.ts'
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
import { makeTinyMetadata, tinyDreamBooth, tinyFineTune } from '../support/tinyTrainings.ts'

let model: string
let data: string
let metadata: string
let baseline: number
beforeAll(async () => {
  model = await saveTinyModel()
  // Tags in another order at each use, and mirrored pictures: what is drawn must go on where it was.
  data = await makeTinyData({ subset: 'shuffle_caption = true\nflip_aug = true' })
  metadata = await makeTinyMetadata()
})
beforeEach(async () => {
  baseline = await baselineBuffers()
})
afterEach(async () => {
  expect(await liveBuffers(), 'buffers left by the run').toBe(baseline)
})

type Kind = (overrides: TinyOverrides) => Promise<AsyncIterable<TrainEvent>>

const network: Kind = async (overrides) => trainNetwork(await tinyTraining(model, data, overrides))
const kinds: Readonly<Record<string, Kind>> = {
  'a network': network,
  'fine-tuning': async (overrides) => fineTune(await tinyFineTune(model, metadata, overrides)),
  DreamBooth: async (overrides) => {
    const dreamBooth = { stopTextEncoderTraining: 4 }
    return trainDreamBooth(await tinyDreamBooth(model, data, { ...overrides, dreamBooth }))
  },
}

const once: TinyOverrides = { training: { maxSteps: 5 }, output: { saveEverySteps: 3, saveAs: 'safetensors' } }

/** Five steps of two batches an epoch, with a state after the third. @returns its events, the state, and the last tensors */
async function runOnce(kind: Kind, more: TinyOverrides = {}) {
  const folder = join(await makeFolder(), 'out')
  const training = { ...once.training, ...more.training }
  const output = { ...once.output, folder }
  const events = await eventsOf(await kind({ ...more, training, output, state: { save: true } }))
  return { events, state: join(folder, 'frog-step00000003-state'), tensors: await tensorBytes(lastFile(events)) }
}

function lastFile(events: readonly TrainEvent[]): string {
  return only(events, 'end')[0]!.path!
}

async function goOn(kind: Kind, state: string, more: TinyOverrides = {}) {
  const training = { ...once.training, ...more.training }
  const options = { ...more, training, output: { saveAs: 'safetensors' as const }, state: { resume: state } }
  const events = await eventsOf(await kind(options))
  return { events, tensors: await tensorBytes(lastFile(events)) }
}

describe('a training that goes on from a state', () => {
  it.each<[string, string, TinyOverrides]>([
    ['a network', 'with AdamW', {}],
    [
      'a network',
      'with dropout and accumulation',
      { network: { dropout: 0.3 }, training: { gradientAccumulationSteps: 2 } },
    ],
    ['a network', 'with AdamW8bit', { optimizer: { type: 'AdamW8bit' } }],
    ['a network', 'with Prodigy and a cosine', { optimizer: { type: 'Prodigy', scheduler: 'cosine' } }],
    ['a network', 'with AdamWScheduleFree', { optimizer: { type: 'AdamWScheduleFree' } }],
    ['a network', 'in bfloat16', { training: { mixedPrecision: 'bf16' } }],
    [
      'a network',
      'in float16 with a cosine',
      { training: { mixedPrecision: 'fp16' }, optimizer: { scheduler: 'cosine' } },
    ],
    ['fine-tuning', 'in float32', {}],
    ['fine-tuning', 'in float16 with float32 masters', { training: { mixedPrecision: 'fp16' } }],
    ['fine-tuning', 'in float16 alone', { training: { mixedPrecision: 'fp16', fullPrecision: true } }],
    ['fine-tuning', 'in bfloat16 with float32 masters', { training: { mixedPrecision: 'bf16' } }],
    ['fine-tuning', 'in bfloat16 alone', { training: { mixedPrecision: 'bf16', fullPrecision: true } }],
    ['DreamBooth', 'past the end of the text encoder', {}],
  ])('ends with the same bits: %s %s', async (name, _what, more) => {
    const kind = kinds[name]!
    const { state, tensors, events } = await runOnce(kind, more)
    const resumed = await goOn(kind, state, more)
    expect(only(resumed.events, 'step').map(({ step }) => step)).toEqual([4, 5])
    expect(resumed.tensors.equals(tensors)).toBe(true)
    // Losses, averages and rates too; speed and memory are those of the process.
    const facts = (all: readonly TrainEvent[]) =>
      only(all, 'step')
        .slice(-2)
        .map(({ stepsPerSecond: _, memory: __, ...step }) => step)
    expect(facts(resumed.events)).toEqual(facts(events))
  })

  it('goes on from where it was interrupted', async () => {
    const whole = await runOnce(network)
    const config = await tinyTraining(model, data, once)
    const controller = new AbortController()
    for await (const event of trainNetwork(config, { signal: controller.signal }))
      if (event.type === 'step' && event.step === 2) controller.abort()
    const { tensors } = await goOn(network, join(config.output.folder, 'frog-state'))
    expect(tensors.equals(whole.tensors)).toBe(true)
  })

  it('makes up for what was due after an epoch, where its last step was the last before the stop', async () => {
    const config = await tinyTraining(model, data, { ...once, output: { saveEveryEpochs: 1 } })
    const controller = new AbortController()
    const { signal } = controller
    for await (const { type } of trainNetwork(config, { signal })) if (type === 'epochEnd') controller.abort()
    const { folder } = config.output
    expect((await readdir(folder)).toSorted()).toEqual(['frog-state', 'frog.safetensors'])
    const resumed = { ...config, state: { resume: join(folder, 'frog-state') } }
    const saves = only(await eventsOf(trainNetwork(resumed)), 'save')
    expect(saves.map(({ path, step }) => [basename(path), step])).toEqual([
      ['frog-000001.safetensors', 2],
      ['frog-000002.safetensors', 4],
      ['frog.safetensors', 5],
    ])
  })

  it('counts from the start again where that is asked for, with other noise', async () => {
    const { state, tensors } = await runOnce(network)
    const options = { training: { maxSteps: 2 }, state: { resume: state, restart: true } }
    const events = await eventsOf(await network(options))
    expect(only(events, 'step').map(({ step, epoch }) => [step, epoch])).toEqual([
      [1, 1],
      [2, 1],
    ])
    expect((await tensorBytes(lastFile(events))).equals(tensors)).toBe(false)
  })
})

describe('a state', () => {
  it('is refused by a training with other options, which it lists', async () => {
    const { state } = await runOnce(network)
    const other = {
      optimizer: { learningRate: 2e-3 },
      noise: { noiseOffset: 0.1 },
      training: { ...once.training, seed: 8 },
    }
    const run = goOn(network, state, other)
    await expect(run).rejects.toThrow(ConfigError)
    await expect(goOn(network, state, other)).rejects.toThrow(
      /noise\.noiseOffset: not set in the state, 0\.1 now\n {2}optimizer\.learningRate: 0\.001 in the state, 0\.002 now\n {2}training\.seed: 7 in the state, 8 now$/,
    )
  })

  it('may go on with options that change none of its bits', async () => {
    const options = {
      training: { gradientCheckpointing: true },
      validation: { everySteps: 1, everyEpochs: 2, maxBatches: 3 },
    }
    const [before, now] = [await tinyTraining(model, data), await tinyTraining(model, data, options)]
    expect(comparedOptions(now)).toEqual(comparedOptions(before))
  })

  it('is refused by another kind of training, and with other data', async () => {
    const { state } = await runOnce(network)
    await expect(goOn(kinds.DreamBooth!, state)).rejects.toThrow('the state is of train-network, not of train-db')
    const otherData = await makeTinyData({ subset: 'shuffle_caption = true' })
    const run = eventsOf(trainNetwork(await tinyTraining(model, otherData, { ...once, state: { resume: state } })))
    await expect(run).rejects.toThrow(DataError)
  })

  it('is refused beside another model, whose parts are named; parts that are trained may be any', async () => {
    const [{ state }, { state: tuned }] = [await runOnce(network), await runOnce(kinds['fine-tuning']!)]
    const other = join(await makeFolder(), 'other')
    const models = new StableDiffusion(tinySd1, (part) => randomWeights(part === 'unet' ? 2 : 1))
    await saveDiffusersFolder(other, models).finally(() => models.dispose())
    const run = goOn(network, state, { model: { path: other } })
    await expect(run).rejects.toThrow('of another model, with other weights in the U-Net. Go on')
    const { events } = await goOn(kinds['fine-tuning']!, tuned, { model: { path: other } })
    expect(only(events, 'step')).toHaveLength(2)
  })

  it('that is damaged is refused, whatever is damaged about it', async () => {
    const { state } = await runOnce(network)
    const parameters = join(state, 'parameters.safetensors')
    const bytes = await readFile(parameters)
    await writeFile(parameters, bytes.subarray(0, bytes.length - 10))
    await expect(goOn(network, state)).rejects.toThrow(CheckpointError)
    await writeFile(join(state, 'manifest.json'), '{"format": 2}')
    await expect(goOn(network, state)).rejects.toThrow(
      'expected the manifest of a saved state, format 1, found format 2',
    )
    await writeFile(join(state, 'manifest.json'), '{')
    await expect(goOn(network, state)).rejects.toThrow(CheckpointError)
    await rm(join(state, 'manifest.json'))
    await expect(goOn(network, state)).rejects.toThrow(IoError)
  })

  it('may be of a run that gets longer', async () => {
    const { state } = await runOnce(network)
    const { events } = await goOn(network, state, { training: { maxSteps: 7 } })
    expect(only(events, 'step').at(-1)!.step).toBe(7)
  })
})

describe('verifyResume', () => {
  it('finds the same bits in weights and moments, and leaves nothing behind', async () => {
    const [network, training, output] = [{ dropout: 0.1 }, { seed: null }, { keepLastSteps: 1 }]
    const tiny = await tinyTraining(model, data, { network, training, output })
    // Its states are here, whatever the training goes on from and however few it keeps.
    const config = { ...tiny, hub: { repository: 'org/name', resume: true } }
    const steps: number[] = []
    const report = await verifyResume(networkTraining, config, {
      steps: 3,
      onEvent: (event) => {
        if (event.type === 'step') steps.push(event.step)
      },
    })
    expect(report).toMatchObject({ steps: 3, from: 1, differing: [] })
    expect(report.tensors).toBeGreaterThan(1000)
    expect(steps).toEqual([1, 2, 3, 2, 3])
    await expect(readdir(config.output.folder)).rejects.toThrow()
  })
})

describe('files saved by steps', () => {
  it('make room for newer ones, states too', async () => {
    const folder = join(await makeFolder(), 'out')
    const events = await eventsOf(
      await network({
        training: { maxSteps: 5 },
        output: { folder, saveEverySteps: 1, keepLastSteps: 2 },
        state: { save: true, keepLastSteps: 1 },
      }),
    )
    const names = await readdir(folder)
    expect(names.sort()).toEqual([
      'frog-state',
      ...['frog-step00000003.safetensors', 'frog-step00000004-state', 'frog-step00000004.safetensors'],
      ...['frog-step00000005-state', 'frog-step00000005.safetensors'],
      'frog.safetensors',
    ])
    expect(
      only(events, 'remove')
        .map(({ what }) => what)
        .sort(),
    ).toEqual(['state', 'state', 'state', 'weights', 'weights'])
  })
})
