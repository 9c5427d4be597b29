import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { loadDatasetGroup } from '../../lib/data/datasetGroup.ts'
import { trainNetwork } from '../../lib/train/trainings.ts'
import { validationTimesteps } from '../../lib/train/validation.ts'
import { baselineBuffers, liveBuffers } from '../support/device.ts'
import {
  eventsOf,
  makeTinyData,
  only,
  saveTinyModel,
  type TinyOverrides,
  tinyTraining,
} from '../support/tinyTraining.ts'

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

async function lossesOf(overrides: TinyOverrides) {
  const events = await eventsOf(trainNetwork(await tinyTraining(model, data, overrides)))
  return { events, validations: only(events, 'validation') }
}

describe('pictures that are held out', () => {
  it('are a share of them, chosen by the seed, unchanged, and not trained on', async () => {
    const load = (seed: number) =>
      loadDatasetGroup({ configFile: data }, { seed: 1, cacheLatents: true, holdOut: { share: 0.5, seed } })
    const paths = (group: Awaited<ReturnType<typeof load>>): string[] =>
      group.datasets.flatMap(({ images }) => images.map(({ path }) => path))
    const group = await load(3)
    expect([paths(group).length, paths(group.heldOut!).length]).toEqual([2, 2])
    expect(new Set([...paths(group), ...paths(group.heldOut!)]).size).toBe(4)
    expect(paths((await load(3)).heldOut!)).toEqual(paths(group.heldOut!))
    const choices = await Promise.all(
      Array.from({ length: 8 }, async (_, seed) => paths((await load(seed)).heldOut!).join()),
    )
    expect(new Set(choices).size).toBeGreaterThan(1)
    const [image] = group.heldOut!.datasets[0]!.images
    expect(image!.subset).toMatchObject({ shuffleCaption: false, flipAug: false, numRepeats: 1 })
  })

  it('are none, with a warning, where the share is too small for one', async () => {
    const group = await loadDatasetGroup(
      { configFile: data },
      { seed: 1, cacheLatents: true, holdOut: { share: 0.1, seed: 1 } },
    )
    expect(group.heldOut).toBeUndefined()
    expect(group.warnings.join('\n')).toContain('validation_split is too small')
  })
})

describe('validation', () => {
  it('measures at fixed timesteps inside of the range that is trained', () => {
    expect(validationTimesteps()).toEqual([200, 400, 600, 800])
    expect(validationTimesteps({ minTimestep: 100, maxTimestep: 600 })).toEqual([200, 300, 400, 500])
  })

  it('gives the same number for the same weights, whatever was drawn before', async () => {
    const still: TinyOverrides = {
      optimizer: { learningRate: 0 },
      training: { maxSteps: 3 },
      network: { dropout: 0.5 },
    }
    const { validations } = await lossesOf({ ...still, validation: { split: 0.5, everySteps: 1 } })
    expect(validations.map(({ step, by }) => [step, by])).toEqual([
      [1, 'step'],
      [2, 'step'],
      [3, 'step'],
    ])
    expect(new Set(validations.map(({ loss }) => loss)).size).toBe(1)
    expect(Number.isFinite(validations[0]!.loss)).toBe(true)
  })

  it('follows the weights, after every epoch unless told otherwise, and changes nothing of the training', async () => {
    const training = { maxSteps: 0, maxEpochs: 3 }
    const one = await lossesOf({ training, validation: { split: 0.5 } })
    expect(one.validations.map(({ epoch, by }) => [epoch, by])).toEqual([
      [1, 'epoch'],
      [2, 'epoch'],
      [3, 'epoch'],
    ])
    expect(new Set(one.validations.map(({ loss }) => loss)).size).toBe(3)
    const seldom = await lossesOf({ training, validation: { split: 0.5, everyEpochs: 3, maxBatches: 1 } })
    expect(seldom.validations).toHaveLength(1)
    const losses = ({ events }: typeof one) => only(events, 'step').map(({ loss }) => loss)
    expect(losses(seldom)).toEqual(losses(one))
  })
})
