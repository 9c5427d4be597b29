import { join } from 'node:path'
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { loadDatasetGroup } from '../../lib/data/datasetGroup.ts'
import { describeDatasetGroup } from '../../lib/data/report.ts'
import { loadTrainingData } from '../../lib/train/trainingData.ts'
import { trainNetwork } from '../../lib/train/trainings.ts'
import { validationTimesteps } from '../../lib/train/validation.ts'
import { baselineBuffers, liveBuffers } from '../support/device.ts'
import { makeFolder } from '../support/pictures.ts'
import {
  eventsOf,
  fourPictures,
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

/** Two datasets of other pictures; the lines are of the second. */
async function twoDatasets(lines: string): Promise<string> {
  const square = { ...fourPictures, 'b.jpg': [64, 64], 'c.webp': [64, 64], 'd.bmp': [64, 64] } as const
  const [first, second] = [await makeFolder(square), await makeFolder(square)]
  const dataset = (folder: string, more = ''): string => `
[[datasets]]
resolution = 64
batch_size = 2
${more}
  [[datasets.subsets]]
  image_dir = ${JSON.stringify(folder)}
  caption_extension = ".txt"
`
  const toml = dataset(first) + dataset(second, lines)
  return join(await makeFolder({ 'data.toml': toml }), 'data.toml')
}

describe('a dataset that holds out pictures itself', () => {
  it('does so alone, by its own seed, whatever holds for the others', async () => {
    const configFile = await twoDatasets('validation_split = 0.5\nvalidation_seed = 3')
    const load = (options = {}) => loadDatasetGroup({ configFile }, { seed: 1, cacheLatents: true, ...options })
    const counts = ({ datasets, heldOut }: Awaited<ReturnType<typeof load>>) => [
      datasets.map(({ images }) => images.length),
      heldOut!.datasets.map(({ images }) => images.length),
      heldOut!.seeds,
    ]
    const alone = await load()
    expect(counts(alone)).toEqual([
      [4, 2],
      [0, 2],
      [1n, 3n],
    ])
    expect(counts(await load({ seed: 2 }))).toEqual([
      [4, 2],
      [0, 2],
      [2n, 3n],
    ])
    const common = await load({ holdOut: { share: 0.25, seed: 9 } })
    expect(counts(common)).toEqual([
      [3, 2],
      [1, 2],
      [9n, 3n],
    ])
    const measured = ({ heldOut }: typeof alone) => heldOut!.datasets[1]!.images.map(({ path }) => path)
    expect(measured(common)).toEqual(measured(alone))
    const report = describeDatasetGroup(common).join('\n')
    expect(report).toContain('validation_split: 0.5 ([[datasets]])')
    expect(report).toContain('2 pictures of dataset 1 held out with seed 3, to be measured')
  })

  it('keeps at least one picture of each subset', async () => {
    const configFile = await twoDatasets('validation_split = 1')
    const { datasets } = await loadDatasetGroup({ configFile }, { seed: 1, cacheLatents: true })
    expect(datasets.map(({ images }) => images.length)).toEqual([4, 1])
  })

  it.each([true, false])('is measured, with latents cached (%s)', async (cacheLatents) => {
    const file = await twoDatasets('validation_split = 0.5')
    const overrides = { data: { cacheLatents }, training: { maxSteps: 1 }, validation: { split: 0, everySteps: 1 } }
    const config = await tinyTraining(model, file, overrides)
    const events = await eventsOf(trainNetwork(config))
    expect(only(events, 'validation')).toHaveLength(1)
    expect(only(events, 'start')[0]!.planned?.validation).toMatchObject({ everySteps: 1 })
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

  it('has noise of its own seed, whatever the seed of the training', async () => {
    const choiceOf = async (seed: number) => {
      const group = await loadDatasetGroup(
        { configFile: data },
        { seed: 1, cacheLatents: true, holdOut: { share: 0.5, seed } },
      )
      return group.heldOut!.datasets[0]!.images.map(({ path }) => path).join()
    }
    const first = await choiceOf(0)
    let other = 1
    while ((await choiceOf(other)) !== first) other++
    const measure = async (seed: number, validationSeed: number): Promise<number> => {
      const still = { optimizer: { learningRate: 0 }, training: { maxSteps: 1, seed } }
      const { validations } = await lossesOf({
        ...still,
        validation: { split: 0.5, seed: validationSeed, everySteps: 1 },
      })
      return validations[0]!.loss
    }
    expect(await measure(8, 0)).toBe(await measure(7, 0))
    expect(await measure(7, other)).not.toBe(await measure(7, 0))
  })

  it('is said to have no effect where no picture of a description is held out', async () => {
    const validation = { split: null, everySteps: 2 }
    const group = await loadTrainingData({ ...(await tinyTraining(model, data)), validation }, { seed: 1 })
    expect(group.warnings.join()).toContain('--validate_every_n_steps has no effect: no picture is held out')
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
