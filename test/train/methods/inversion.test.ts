import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { resolveDatasetConfig } from '../../../lib/config/datasetConfig.ts'
import { loadDatasetGroup } from '../../../lib/data/datasetGroup.ts'
import { tinySd1 } from '../../../lib/models/stableDiffusion/config.ts'
import { readTextualInversion, xtiLayers } from '../../../lib/networks/textualInversion.ts'
import { templateWarnings } from '../../../lib/train/methods/inversionCaptions.ts'
import type { TextualInversionConfig } from '../../../lib/train/trainConfig.ts'
import { trainTextualInversion, trainXti } from '../../../lib/train/trainings.ts'
import { ConfigError, DataError } from '../../../lib/util/errors.ts'
import { baselineBuffers, liveBuffers } from '../../support/device.ts'
import { makeFolder } from '../../support/pictures.ts'
import { eventsOf, makeTinyData, only, saveTinyModel, type TinyOverrides } from '../../support/tinyTraining.ts'
import { tinyInversion } from '../../support/tinyTrainings.ts'

let model: string
let data: string
let baseline: number
beforeAll(async () => {
  model = await saveTinyModel()
  data = await makeTinyData() // "sks frog, ..."
})
beforeEach(async () => {
  baseline = await baselineBuffers()
})
afterEach(async () => {
  expect(await liveBuffers(), 'buffers left by the run').toBe(baseline)
})

type Overrides = TinyOverrides & { readonly inversion?: Partial<TextualInversionConfig['inversion']> }

async function learn(overrides: Overrides = {}, train = trainTextualInversion) {
  const config = await tinyInversion(model, data, overrides)
  const events = await eventsOf(train(config))
  return { config, events, path: only(events, 'end')[0]!.path! }
}

const width = tinySd1.textEncoder

describe('textual inversion', () => {
  it('trains the rows of the word alone and writes them for others to read', async () => {
    const { path, events } = await learn({ inversion: { initWord: 'frog', vectorCount: 2 } })
    expect(path.endsWith('frog.pt')).toBe(true)
    const [start] = only(events, 'start')
    expect([start!.moduleCount, start!.trainableParameters]).toEqual([1, 2 * width.hiddenSize])
    const file = await readTextualInversion(path, width)
    if (file.kind !== 'embedding') return expect.fail('expected rows of one token')
    expect(file.rows.shape).toEqual([2, width.hiddenSize])
    // Both began as the row of "frog", and learned different things.
    const [first, second] = [0, 1].map((row) =>
      file.rows.values.slice(row * width.hiddenSize, (row + 1) * width.hiddenSize),
    )
    expect(first).not.toEqual(second)
  })

  it('goes on from a file, of the same number of rows', async () => {
    const { path } = await learn({ inversion: { initWord: 'frog' }, output: { saveAs: 'safetensors' } })
    const still = await learn({
      inversion: { weights: path },
      optimizer: { learningRate: 0 },
      output: { saveAs: 'safetensors' },
    })
    const rows = async (file: string) => {
      const found = await readTextualInversion(file, width)
      return found.kind === 'embedding' ? found.rows.values : null
    }
    expect(await rows(still.path)).toEqual(await rows(path))
    await expect(learn({ inversion: { weights: path, vectorCount: 2 } })).rejects.toThrow(
      'set num_vectors_per_token to 1',
    )
  })

  it('warns of rows far from words, and refuses words that are known or that no caption has', async () => {
    const { events } = await learn({ training: { maxSteps: 1 } })
    expect(
      only(events, 'warning')
        .map(({ message }) => message)
        .join('\n'),
    ).toContain('start as N(0, 1) numbers')
    await expect(learn({ inversion: { tokenString: 'cat' } })).rejects.toThrow(ConfigError)
    await expect(learn({ inversion: { tokenString: 'zwxq' } })).rejects.toThrow(DataError)
  })

  it('trains on sentences in place of captions', async () => {
    const templates = { inversion: { tokenString: 'zwxq', template: 'object' as const, initWord: 'frog' } }
    const [one, other] = [await learn(templates), await learn(templates)]
    expect((await readFile(one.path)).equals(await readFile(other.path))).toBe(true)
  })

  it('tells which options change captions that sentences take the place of', async () => {
    const source = {
      config: await resolveDatasetConfig({
        datasets: [
          {
            resolution: 64,
            subsets: [
              { image_dir: await makeFolder({ 'a.png': [64, 64] }), shuffle_caption: true, caption_suffix: 'x' },
              { image_dir: await makeFolder({ 'a.png': [64, 64] }), keep_tokens: 1 },
            ],
          },
        ],
      }),
    }
    const { datasets } = await loadDatasetGroup(source, { seed: 1 })
    expect(templateWarnings({ datasets })).toEqual([
      'templates take the place of captions, so these have no effect: shuffle_caption, caption_suffix',
    ])
    const [dataset] = datasets
    expect(templateWarnings({ datasets: [{ ...dataset!, subsets: dataset!.subsets.slice(1) }] })).toEqual([])
  })

  it('draws the word from the written file', async () => {
    const prompts = await makeFolder({
      'prompts.txt': 'sks frog --w 64 --h 64 --s 2 --d 1\na cat --w 64 --h 64 --s 2 --d 1\n',
    })
    const preview = { promptFile: join(prompts, 'prompts.txt'), everySteps: 1, atFirst: true }
    const { events } = await learn({ preview, inversion: { initWord: 'frog' }, optimizer: { learningRate: 1 } })
    const pictures = await Promise.all(only(events, 'preview').map(({ path }) => readFile(path)))
    expect(pictures).toHaveLength(6)
    expect(pictures[0]!.equals(pictures[4]!)).toBe(false)
    // What does not hold the word is drawn with the same bits as before.
    expect(pictures[1]!.equals(pictures[5]!)).toBe(true)
  })
})

describe('extended textual inversion', () => {
  it('trains rows for each cross-attention layer, which can be gone on from', async () => {
    const { path } = await learn({ inversion: { initWord: 'frog', vectorCount: 2 } }, trainXti)
    const file = await readTextualInversion(path, width)
    if (file.kind !== 'layers') return expect.fail('expected rows of layers')
    expect([...file.layers.keys()]).toEqual([...xtiLayers])
    expect(file.layers.get('MID')!.shape).toEqual([2, width.hiddenSize])
    expect(file.layers.get('MID')!.values).not.toEqual(file.layers.get('IN01')!.values)
    await learn({ inversion: { weights: path, vectorCount: 2 }, training: { maxSteps: 1 } }, trainXti)
    await expect(learn({ inversion: { weights: path } })).rejects.toThrow(
      'weights: expected a file with rows of one token',
    )
  })

  it('takes captions of one row of tokens', async () => {
    await expect(learn({ model: { maxTokenLength: 150 } }, trainXti)).rejects.toThrow('at most 75 tokens')
  })
})
