import { createHash } from 'node:crypto'
import { readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type DatasetGroup, loadDatasetGroup } from '../../../lib/data/datasetGroup.ts'
import { readNpz } from '../../../lib/io/npz.ts'
import { ClipTextModel } from '../../../lib/models/clip/textModel.ts'
import { type ClipTokenizer, loadClipTokenizer } from '../../../lib/models/clip/tokenizer.ts'
import { randomWeights } from '../../../lib/nn/init.ts'
import type { CacheEvent } from '../../../lib/train/events.ts'
import { CaptionEncoder, type CaptionEncoderOptions } from '../../../lib/train/inputs/conditioning.ts'
import { TextCache, type TextFillOptions } from '../../../lib/train/inputs/textCache.ts'
import { TextStore } from '../../../lib/train/inputs/textStore.ts'
import { fineTune, trainDreamBooth, trainNetwork } from '../../../lib/train/trainings.ts'
import { ArgumentError, ConfigError, DataError } from '../../../lib/util/errors.ts'
import { baselineBuffers, liveBuffers } from '../../support/device.ts'
import { makeFolder } from '../../support/pictures.ts'
import { tinyConfigs } from '../../support/tinyModels.ts'
import { eventsOf, makeTinyData, only, saveTinyModel, tensorBytes, tinyTraining } from '../../support/tinyTraining.ts'
import { makeTinyMetadata, tinyDreamBooth, tinyFineTune } from '../../support/tinyTrainings.ts'

const textEncoder = new ClipTextModel(tinyConfigs.tinySd1.textEncoder, randomWeights(1))
const plain = { clipSkip: 1, sequenceLength: 77, dtype: 'bfloat16' } as const satisfies CaptionEncoderOptions
let sd1: ClipTokenizer
let sd2: ClipTokenizer
let group: DatasetGroup
beforeAll(async () => {
  sd1 = await loadClipTokenizer({ variant: 'sd1' })
  sd2 = await loadClipTokenizer({ variant: 'sd2' })
  group = await loadDatasetGroup({ configFile: await makeTinyData() }, { seed: 1, cacheLatents: true })
})
afterAll(() => textEncoder.dispose())

const encoderOf = (options: Partial<CaptionEncoderOptions> = {}, model = textEncoder): CaptionEncoder =>
  new CaptionEncoder(sd1, model, { ...plain, ...options })
const cacheOf = (folder: string, encoder = encoderOf(), mostInMemory = 64): TextCache =>
  new TextCache(encoder, { openStore: () => TextStore.open(folder, encoder), mostInMemory })

interface Filled {
  readonly last: CacheEvent
  readonly warnings: readonly string[]
}

async function fill(cache: TextCache, options: TextFillOptions = {}): Promise<Filled> {
  const warnings: string[] = []
  let last: CacheEvent = { type: 'cache', what: 'captions', done: 0, total: 0, reused: 0, perSecond: 0 }
  for await (const event of cache.fill(group, options)) {
    if (event.type === 'cache') last = event
    else warnings.push(event.message)
  }
  return { last, warnings }
}

const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex')

async function entriesOf(folder: string): Promise<string[]> {
  const names = await readdir(folder, { recursive: true })
  return names
    .filter((name) => name.endsWith('.npz'))
    .map((name) => join(folder, name))
    .sort()
}

const batches = [['sks frog', 'sks frog, at night'], ['sks frog, in the rain', 'sks frog'], ['sks frog, in the rain']]

/** The hidden states of some batches, as bits. */
async function statesOf(encoder: CaptionEncoder | TextCache): Promise<unknown[]> {
  const found: unknown[] = []
  for (const captions of batches) {
    if (encoder instanceof TextCache) await encoder.fetch(captions)
    const states = encoder.encode(captions)
    found.push([states.shape, states.dtype, await states.read()])
    states.dispose()
  }
  return found
}

describe('captions kept in files', () => {
  it.each([
    ['bfloat16', 77],
    ['float16', 77],
    ['float32', 227],
  ] as const)(
    'in %s, %i positions, have the bits of encoding them, made before or by another run',
    async (dtype, sequenceLength) => {
      const before = await baselineBuffers()
      const folder = await makeFolder()
      const encoder = encoderOf({ dtype, sequenceLength })
      const expected = await statesOf(encoder)
      const cold = cacheOf(folder, encoder)
      expect((await fill(cold)).last).toMatchObject({ done: 4, total: 4, reused: 0 })
      expect(await statesOf(cold)).toEqual(expected)
      expect(await entriesOf(folder)).toHaveLength(4)

      const warm = cacheOf(folder, encoder, 1)
      expect((await fill(warm)).last).toMatchObject({ done: 4, total: 4, reused: 4 })
      expect(await liveBuffers(), 'nothing is kept before it is asked for').toBe(before + 3)
      warm.encoderReleased()
      expect(await statesOf(warm)).toEqual(expected)
      expect(await liveBuffers(), 'the last caption alone is kept').toBe(before + 4)
      for (const cache of [cold, warm]) cache.dispose()
      expect(await liveBuffers()).toBe(before)
      const arrays = await readNpz((await entriesOf(folder))[0]!)
      expect(arrays.get('hidden_states')!.shape).toEqual([sequenceLength, 32])
    },
  )

  it('have one name for the same tokens, and another one for anything else that decides them', async () => {
    const folder = await makeFolder()
    const pathOf = async (encoder: CaptionEncoder, caption = 'a frog!'): Promise<string> =>
      (await TextStore.open(folder, encoder)).pathOf(caption)
    const own = await pathOf(encoderOf())
    expect(await pathOf(encoderOf(), 'A  Frog!')).toBe(own)
    const other = new ClipTextModel(textEncoder.config, randomWeights(2))
    const half = new ClipTextModel(textEncoder.config, randomWeights(1), 'bfloat16')
    const quick = new ClipTextModel({ ...textEncoder.config, activation: 'gelu' }, randomWeights(1))
    const paths = await Promise.all([
      own,
      pathOf(encoderOf(), 'a frog?'),
      pathOf(encoderOf({ clipSkip: 2 })),
      pathOf(encoderOf({ dtype: 'float32' })),
      pathOf(encoderOf({ sequenceLength: 152 })),
      pathOf(new CaptionEncoder(sd2, textEncoder, plain)),
      ...[other, half, quick].map((model) => pathOf(encoderOf({}, model))),
    ])
    expect(new Set(paths).size).toBe(9)
    for (const model of [other, half, quick]) model.dispose()
    await expect(TextStore.open(folder, encoderOf({ noPadding: true }))).rejects.toThrow(ArgumentError)
  })

  it.each([
    ['a changed bit', (bytes: Buffer) => bytes.fill(bytes[300]! ^ 1, 300, 301)],
    ['a lost end', (bytes: Buffer) => bytes.subarray(0, 200)],
    ['no content', () => Buffer.alloc(0)],
  ])('are encoded again where the file has %s, with a warning', async (_what, damage) => {
    const folder = await makeFolder()
    await fill(cacheOf(folder))
    const [entry] = await entriesOf(folder)
    const whole = await readFile(entry!)
    await writeFile(entry!, damage(Buffer.from(whole)))
    const cache = cacheOf(folder)
    const { last, warnings } = await fill(cache)
    expect(last).toMatchObject({ done: 4, reused: 3 })
    expect(warnings).toHaveLength(1)
    expect(warnings[0]).toContain(entry)
    expect(warnings[0]).toContain('the caption is encoded again')
    expect(await readFile(entry!)).toEqual(whole)
    cache.dispose()
  })

  it('that are lost while they are in use are encoded again, or named where the text encoder is gone', async () => {
    const folder = await makeFolder()
    const cache = cacheOf(folder)
    await fill(cache)
    const expected = await statesOf(encoderOf())
    for (const entry of await entriesOf(folder)) await rm(entry)
    expect(await statesOf(cache)).toEqual(expected)
    expect(await entriesOf(folder)).toHaveLength(3)
    cache.dispose()
    cache.encoderReleased()
    for (const entry of await entriesOf(folder)) await writeFile(entry, 'x')
    await expect(cache.fetch(['sks frog'])).rejects.toThrow(/\.npz: the hidden states of a caption are damaged: start/)
    for (const entry of await entriesOf(folder)) await rm(entry)
    await expect(cache.fetch(['sks frog'])).rejects.toThrow(DataError)
    cache.dispose()
  })

  it('are filled in parts, and go on where a filling was stopped', async () => {
    const [folder, whole] = [await makeFolder(), await makeFolder()]
    for (const index of [0, 1])
      expect((await fill(cacheOf(folder), { shard: { index, count: 2 } })).last).toMatchObject({ total: 2, reused: 0 })
    const stop = new AbortController()
    for await (const event of cacheOf(whole).fill(group, { signal: stop.signal }))
      if (event.type === 'cache' && event.done === 1) stop.abort()
    expect(await entriesOf(whole)).toHaveLength(1)
    expect((await fill(cacheOf(whole))).last).toMatchObject({ done: 4, reused: 1 })
    const names = (all: string[], root: string): string[] => all.map((path) => path.slice(root.length))
    expect(names(await entriesOf(folder), folder)).toEqual(names(await entriesOf(whole), whole))
    await expect(fill(new TextCache(encoderOf()), { shard: { index: 0, count: 2 } })).rejects.toThrow(ArgumentError)
  })
})

describe('trainings with captions in files', () => {
  let model: string
  let metadata: string
  let data: string
  beforeAll(async () => {
    model = await saveTinyModel()
    metadata = await makeTinyMetadata()
    data = await makeTinyData()
  })
  const cached = (cacheFolder: string) => ({ cacheTextEncoderOutputsToDisk: true, cacheFolder }) as const
  const reusedOf = (events: Awaited<ReturnType<typeof eventsOf>>): number | undefined =>
    only(events, 'cache').findLast(({ what }) => what === 'captions')?.reused

  it('have the bits of those without, share the files between kinds, and free all', async () => {
    const before = await baselineBuffers()
    const more = cached(await makeFolder())
    const network = async (texts = {}) => {
      const overrides = { network: { trainTextEncoder: false }, data: texts, validation: { split: 0.5 } } as const
      const events = await eventsOf(trainNetwork(await tinyTraining(model, data, overrides)))
      const losses = only(events, 'validation').map(({ loss }) => loss)
      return { reused: reusedOf(events), losses, weights: sha256(await tensorBytes(only(events, 'end')[0]!.path!)) }
    }
    const without = await network()
    expect(without.losses.length).toBeGreaterThan(0)
    expect(await network(more)).toEqual({ ...without, reused: 0 })

    const dreamBooth = { stopTextEncoderTraining: -1 }
    const whole = async (texts = {}) => {
      const output = { saveAs: 'safetensors' } as const
      const config = await tinyDreamBooth(model, data, { data: texts, dreamBooth, output, training: { maxSteps: 1 } })
      const events = await eventsOf(trainDreamBooth(config))
      return { reused: reusedOf(events), weights: sha256(await tensorBytes(only(events, 'end')[0]!.path!)) }
    }
    expect(await whole(more)).toEqual({ ...(await whole()), reused: 4 })
    expect(await liveBuffers()).toBe(before)
  })

  it.each([
    ['a text encoder that is trained', { fineTune: { trainTextEncoder: true } }, /the text encoder is trained/],
    ['weighted captions', { data: { weightedCaptions: true } }, /depends on its batch/],
  ])('refuse %s', async (_what, overrides, message) => {
    const { data: more = {}, ...rest } = overrides as { data?: object; fineTune?: object }
    const config = await tinyFineTune(model, metadata, { ...rest, data: { cacheTextEncoderOutputs: true, ...more } })
    await expect(eventsOf(fineTune(config))).rejects.toThrow(message)
    await expect(eventsOf(fineTune(config))).rejects.toThrow(ConfigError)
  })

  it('refuse captions without padding, and a text encoder that learns for some steps', async () => {
    const refused = async (dreamBooth: { stopTextEncoderTraining: number; noTokenPadding?: boolean }) =>
      eventsOf(trainDreamBooth(await tinyDreamBooth(model, data, { data: cached('x'), dreamBooth })))
    await expect(refused({ stopTextEncoderTraining: -1, noTokenPadding: true })).rejects.toThrow(
      /as long as those of their batch/,
    )
    await expect(refused({ stopTextEncoderTraining: 1 })).rejects.toThrow(/the text encoder is trained/)
  })
})
