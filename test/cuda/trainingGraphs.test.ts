/** Trainings that repeat their steps as CUDA graphs, on the look-alike driver: the bits of those that call their ops. */
import { join } from 'node:path'
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { memory } from '../../lib/tensor/runtime.ts'
import { dreamBooth } from '../../lib/train/methods/dreamBooth.ts'
import { fineTuning } from '../../lib/train/methods/fineTune.ts'
import { textualInversion, xti } from '../../lib/train/methods/trainInversion.ts'
import { networkTraining } from '../../lib/train/methods/trainNetwork.ts'
import { dwarf, smallDwarf } from '../support/dwarfModel.ts'
import { allOrders, canEmulate } from '../support/emulatedGpu.ts'
import { bytesOf, liveBuffers, type Trained, trained } from '../support/gpuTraining.ts'
import { makeFolder } from '../support/pictures.ts'
import { saveTinyModel, type TinyOverrides, tinyTraining } from '../support/tinyTraining.ts'
import { tinyDreamBooth, tinyFineTune, tinyInversion } from '../support/tinyTrainings.ts'

/** With the sixteen cross-attention layers that extended textual inversion is about. */
const sixteenLayers = { ...smallDwarf, unet: { ...dwarf.unet, layersPerBlock: 2 } }

let models: { readonly small: string; readonly sixteenLayers: string }
let baseline: readonly number[]

/** A picture, or two of different shapes, in batches of one. @returns the path of the description */
async function makeData(shapes: 1 | 2, lists: boolean): Promise<string> {
  const pictures = Object.entries({ 'a.png': [64, 64], 'b.png': [128, 64] } as const).slice(0, shapes)
  const captions = { 'a.txt': 'a sksfrog', 'b.txt': 'a wide sksfrog' }
  const images = await makeFolder({ ...Object.fromEntries(pictures), ...captions })
  const entries = pictures.map(([name]) => [join(images, name), { caption: name, tags: 'frog' }])
  const folder = await makeFolder({ 'meta.json': JSON.stringify(Object.fromEntries(entries)) })
  const toml = `[[datasets]]
resolution = [128, 64]
batch_size = 1
enable_bucket = true
min_bucket_reso = 64
max_bucket_reso = 128
bucket_reso_steps = 64

  [[datasets.subsets]]
  image_dir = ${JSON.stringify(images)}
  ${lists ? `metadata_file = ${JSON.stringify(join(folder, 'meta.json'))}` : 'caption_extension = ".txt"'}
`
  return join(await makeFolder({ 'data.toml': toml }), 'data.toml')
}

/** Trains of `dataFile`. */
type Train = (dataFile: string, overrides: TinyOverrides) => Promise<Trained>
const lora: Train = async (dataFile, overrides) =>
  trained(networkTraining, await tinyTraining(models.small, dataFile, overrides))
const wholeUNet: Train = async (dataFile, overrides) =>
  trained(fineTuning, await tinyFineTune(models.small, dataFile, overrides))
/** The text encoder learns in the first three steps alone: then the U-Net's pass is another one. */
const dreamBoothUntilThree: Train = async (dataFile, overrides) =>
  trained(
    dreamBooth,
    await tinyDreamBooth(models.small, dataFile, { ...overrides, dreamBooth: { stopTextEncoderTraining: 3 } }),
  )
const inversion = { tokenString: 'sksfrog', vectorCount: 2, initWord: 'frog' }
const embedding: Train = async (dataFile, overrides) =>
  trained(textualInversion, await tinyInversion(models.small, dataFile, { ...overrides, inversion }))
const embeddings: Train = async (dataFile, overrides) =>
  trained(xti, await tinyInversion(models.sixteenLayers, dataFile, { ...overrides, inversion }))

interface Case {
  readonly of: string
  readonly train: Train
  readonly shapes: 1 | 2
  /** Each shape's first step is called and its second is kept: the third is the first that is a graph. */
  readonly steps: number
  readonly lists?: boolean
}
const cases: readonly Case[] = [
  { of: 'a LoRA', train: lora, shapes: 2, steps: 7 },
  { of: 'a new word', train: embedding, shapes: 1, steps: 4 },
]
/** By `npm run test:cuda` alone. */
const slowCases: readonly Case[] = [
  { of: 'a whole U-Net', train: wholeUNet, shapes: 2, steps: 7, lists: true },
  { of: 'DreamBooth', train: dreamBoothUntilThree, shapes: 1, steps: 7 },
  { of: 'a new word for each layer', train: embeddings, shapes: 1, steps: 4 },
]

describe.runIf(canEmulate)('a training on the GPU', () => {
  beforeAll(async () => {
    models = {
      small: await saveTinyModel(smallDwarf),
      sixteenLayers: allOrders ? await saveTinyModel(sixteenLayers) : '',
    }
  })
  beforeEach(async () => {
    baseline = await liveBuffers()
  })
  afterEach(async () => {
    expect(await liveBuffers(), 'buffers left by the run').toEqual(baseline)
    expect(memory('cuda').reservedBytes, 'memory left to graphs').toBe(0)
  })

  it.each([...cases, ...(allOrders ? slowCases : [])].map((each) => [each.of, each] as const))(
    'of %s repeats its steps as CUDA graphs, with the same bits',
    async (_, { train, shapes, steps, lists = false }) => {
      const configFile = await makeData(shapes, lists)
      const run = (noCudaGraphs: boolean): Promise<Trained> =>
        train(configFile, {
          training: { maxSteps: steps, device: 'cuda', noCudaGraphs },
          // The second run finds the latents of the first.
          data: { cacheLatentsToDisk: true },
          output: { saveAs: 'safetensors' },
        })
      const repeated = await run(false)
      expect(repeated.graphBytes, 'memory of graphs').toBeGreaterThan(0)
      expect(repeated.graphWarnings).toEqual([])
      const called = await run(true)
      expect(called.graphBytes).toBe(0)
      expect(bytesOf(repeated)).toEqual(bytesOf(called))
      expect(repeated.losses).toHaveLength(steps)
    },
  )

  it('says once that dropout keeps its steps from being graphs', async () => {
    const { graphBytes, graphWarnings } = await lora(await makeData(1, false), {
      training: { maxSteps: 3, device: 'cuda' },
      network: { dropout: 0.5, trainTextEncoder: false },
      output: { saveAs: 'safetensors' },
    })
    expect(graphBytes).toBe(0)
    expect(graphWarnings).toEqual([
      'CUDA graphs are not used for all steps: dropout depends on the call: on a seed, a counter, a rate, or data of the host. ' +
        'Results are the same without them.',
    ])
  })
})
