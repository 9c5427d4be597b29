import { readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { loadDatasetGroup } from '../../lib/data/datasetGroup.ts'
import { loadClipTokenizer } from '../../lib/models/clip/tokenizer.ts'
import { type ModelPart, StableDiffusion } from '../../lib/models/stableDiffusion/stableDiffusion.ts'
import { randomWeights } from '../../lib/nn/init.ts'
import { memory } from '../../lib/tensor/runtime.ts'
import type { Tensor } from '../../lib/tensor/tensor.ts'
import type { TrainEvent } from '../../lib/train/events.ts'
import { CaptionEncoder } from '../../lib/train/inputs/conditioning.ts'
import { TextCache } from '../../lib/train/inputs/textCache.ts'
import { LoraMethod } from '../../lib/train/methods/lora.ts'
import { trainNetwork } from '../../lib/train/trainings.ts'
import { ArgumentError, ConfigError } from '../../lib/util/errors.ts'
import { baselineBuffers, liveBuffers, settled } from '../support/device.ts'
import { makeFolder } from '../support/pictures.ts'
import { tinyConfigs } from '../support/tinyModels.ts'
import {
  eventsOf,
  makeTinyData,
  only,
  saveTinyModel,
  type TinyOverrides,
  tensorBytes,
  tinyTraining,
} from '../support/tinyTraining.ts'

describe('a training with caches', () => {
  let model: string
  let data: string
  beforeAll(async () => {
    model = await saveTinyModel()
    data = await makeTinyData({ subset: 'flip_aug = true' })
  })

  async function train(overrides: TinyOverrides): Promise<{ weights: Buffer; made: string[] }> {
    const events = await eventsOf(trainNetwork(await tinyTraining(model, data, overrides)))
    const last = (what: string): string => {
      const event = only(events, 'cache').findLast((each) => each.what === what)
      return event === undefined ? 'none' : `${event.done} of ${event.total}, ${event.reused} reused`
    }
    return { weights: await tensorBytes(only(events, 'end')[0]!.path!), made: ['pictures', 'captions'].map(last) }
  }

  it('from files and from files of an earlier run has the bits of one from memory', async () => {
    const inMemory = await train({})
    expect(inMemory.made).toEqual(['8 of 8, 0 reused', 'none'])
    const cacheFolder = await makeFolder()
    const cached = { cacheLatents: false, cacheLatentsToDisk: true, cacheFolder }
    const cold = await train({ data: cached })
    expect(cold).toEqual(inMemory)
    const warm = await train({ data: { ...cached, vaeBatchSize: 3 } })
    expect(warm.made).toEqual(['8 of 8, 8 reused', 'none'])
    expect(warm.weights).toEqual(inMemory.weights)
    expect(await readdir(cacheFolder)).toEqual(['noisewright'])
  })

  it('makes a latent again whose file is removed after its first step', async () => {
    const config = (cacheFolder: string) =>
      tinyTraining(model, data, {
        data: { cacheLatents: false, cacheLatentsToDisk: true, cacheFolder },
        training: { maxSteps: 5 },
      })
    const whole = await eventsOf(trainNetwork(await config(await makeFolder())))
    const cacheFolder = await makeFolder()
    const events: TrainEvent[] = []
    for await (const event of trainNetwork(await config(cacheFolder))) {
      events.push(event)
      if (event.type === 'step' && event.step === 1) await rm(join(cacheFolder, 'noisewright'), { recursive: true })
    }
    expect(only(events, 'step').map(({ loss }) => loss)).toEqual(only(whole, 'step').map(({ loss }) => loss))
  })

  it('has one part of the model in memory after the other until its caches are full', async () => {
    const overrides = { network: { trainTextEncoder: false }, data: { cacheTextEncoderOutputs: true } } as const
    const models = new StableDiffusion(tinyConfigs.tinySd1, () => randomWeights(1))
    const bytesOf = (part: ModelPart): number =>
      [...models[part].registry.parameters.values()].reduce((sum, { tensor }) => sum + 4 * tensor.size, 0)
    const [unet, texts] = [bytesOf('unet'), bytesOf('textEncoder')]
    models.dispose()
    await settled()
    const before = memory().liveBytes
    const used = { pictures: 0, captions: 0, steps: 0 }
    for await (const event of trainNetwork(await tinyTraining(model, data, overrides))) {
      const what = event.type === 'cache' ? event.what : event.type === 'step' ? 'steps' : null
      if (what !== null) used[what] = Math.max(used[what], memory().liveBytes - before)
    }
    // The network that is trained is there as well, and blocks of memory are larger than what was asked for.
    expect(used.pictures).toBeLessThan(unet / 2)
    expect(used.captions).toBeGreaterThan(texts)
    expect(used.captions).toBeLessThan(texts + unet / 2)
    expect(used.steps).toBeGreaterThan(unet)
  })

  it('has given back what encoding left over before its first step', async () => {
    const overrides = { network: { trainTextEncoder: false }, data: { cacheTextEncoderOutputs: true } } as const
    let [encoded, left] = [0, Number.NaN]
    for await (const { type } of trainNetwork(await tinyTraining(model, data, overrides))) {
      if (type === 'cache') encoded = Math.max(encoded, memory().cachedBytes)
      if (type === 'epoch' && Number.isNaN(left)) left = memory().cachedBytes
    }
    expect(encoded).toBeGreaterThan(2 ** 20)
    expect(left).toBe(0)
  })

  it('of captions has the bits of one without, in each precision', async () => {
    for (const mixedPrecision of ['no', 'bf16'] as const) {
      const overrides = { network: { trainTextEncoder: false }, training: { mixedPrecision } } as const
      const plain = await train(overrides)
      const cached = await train({ ...overrides, data: { cacheTextEncoderOutputs: true } })
      expect(cached.made[1]).toBe('4 of 4, 0 reused')
      expect(cached.weights).toEqual(plain.weights)
    }
  })

  it('of captions is refused where captions change or the text encoder learns', async () => {
    const shuffled = await makeTinyData({ subset: 'shuffle_caption = true' })
    const network = { trainTextEncoder: false }
    const config = await tinyTraining(model, shuffled, { network, data: { cacheTextEncoderOutputs: true } })
    await expect(eventsOf(trainNetwork(config))).rejects.toThrow(ConfigError)
    await expect(train({ data: { cacheTextEncoderOutputs: true } })).rejects.toThrow(ArgumentError)
  })
})

describe('a cache of captions', () => {
  it.each(['tinySd1', 'tinySd2'] as const)(
    'gives the bits of encoding whole batches of %s, and frees all',
    async (name) => {
      const before = await baselineBuffers()
      const models = new StableDiffusion(tinyConfigs[name], () => randomWeights(1))
      const tokenizer = await loadClipTokenizer({ variant: name === 'tinySd1' ? 'sd1' : 'sd2' })
      const captions = { clipSkip: 1, sequenceLength: 227, dtype: 'bfloat16' } as const
      const encoder = new CaptionEncoder(tokenizer, models.textEncoder, captions)
      const cache = new TextCache(encoder)
      const bitsOf = async (states: Tensor): Promise<unknown> => {
        const bits = { shape: states.shape, values: await states.read() }
        states.dispose()
        return bits
      }
      const batch = ['a frog', 'a frog in the rain '.repeat(40), '', 'a frog']
      const expected = await bitsOf(encoder.encode(batch))
      for (const _ of [1, 2]) expect(await bitsOf(cache.encode(batch))).toEqual(expected)
      const group = await loadDatasetGroup({ configFile: await makeTinyData() }, { seed: 1, cacheLatents: true })
      const totals: number[] = []
      for await (const event of cache.fill(group)) if (event.type === 'cache') totals.push(event.done, event.total)
      expect(totals.slice(-2)).toEqual([4, 4])
      cache.dispose()

      const options = { rank: 2, alpha: 2, dropout: null, blockWeights: null, seed: 1, captions, cacheCaptions: true }
      expect(() => new LoraMethod(models, tokenizer, { ...options, trainUnet: true, trainTextEncoder: true })).toThrow(
        /trainTextEncoder must be off where captions are cached/,
      )
      models.dispose()
      expect(await liveBuffers()).toBe(before)
    },
  )
})
