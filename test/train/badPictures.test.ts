import { basename, join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { resolveDatasetConfig } from '../../lib/config/datasetConfig.ts'
import { standIn } from '../../lib/data/batches.ts'
import { type DatasetGroup, loadDatasetGroup } from '../../lib/data/datasetGroup.ts'
import { planEpoch } from '../../lib/data/epochPlan.ts'
import { Vae } from '../../lib/models/stableDiffusion/vae.ts'
import { randomWeights } from '../../lib/nn/init.ts'
import { BadPictures } from '../../lib/train/badPictures.ts'
import { LatentCache } from '../../lib/train/inputs/latentCache.ts'
import { TrainBatches } from '../../lib/train/trainBatches.ts'
import { trainNetwork } from '../../lib/train/trainings.ts'
import { DataError } from '../../lib/util/errors.ts'
import { encodePicture, type FileContent, makeFolder } from '../support/pictures.ts'
import { tinyConfigs } from '../support/tinyModels.ts'
import { eventsOf, makeTinyData, only, saveTinyModel, tinyTraining } from '../support/tinyTraining.ts'

const vae = new Vae(tinyConfigs.tinySd1.vae, randomWeights(1))
afterAll(() => vae.dispose())
const progress = { firstStep: 0, batchesPerStep: 1, totalSteps: 10 }

/** A PNG whose header and end are right, and whose pixels are not. */
async function damaged(width: number): Promise<Uint8Array> {
  const bytes = await encodePicture('.png', width, 64)
  bytes[bytes.length >> 1]! ^= 0xff
  return bytes
}

/** Six pictures of 64 by 64, of which `bad` are damaged, and a wide one. */
async function makeGroup(bad: readonly string[], more: Readonly<Record<string, FileContent>> = {}) {
  const names = ['a', 'b', 'c', 'd', 'e', 'f']
  const pictures = names.map(async (name): Promise<[string, FileContent]> => {
    return [`${name}.png`, bad.includes(name) ? await damaged(64) : [64, 64]]
  })
  const files = Object.fromEntries(await Promise.all(pictures))
  const captions = Object.fromEntries([...names, 'wide'].map((name) => [`${name}.txt`, name]))
  const folder = await makeFolder({ 'wide.png': [256, 64], ...files, ...captions, ...more })
  const buckets = { enable_bucket: true, min_bucket_reso: 32, max_bucket_reso: 128, bucket_reso_steps: 32 }
  const subset = { image_dir: folder, flip_aug: true, caption_extension: '.txt' }
  const config = await resolveDatasetConfig({
    datasets: [{ resolution: 64, batch_size: 2, ...buckets, subsets: [subset] }],
  })
  return { group: await loadDatasetGroup({ config }, { seed: 5, cacheLatents: true }), folder }
}

async function epoch(group: DatasetGroup, options: { workers?: number; bad: BadPictures; cache?: LatentCache }) {
  const { bad: badPictures, cache = null, workers = 2 } = options
  const batches: { captions: readonly string[]; pictures: string[]; latents: Float32Array; told: number }[] = []
  const messages: string[] = []
  const source = new TrainBatches(group, { vae, cache, ignoreExif: false, workers, badPictures })
  for await (const { latents, captions, pictures = [] } of source.epoch(1, progress)) {
    messages.push(...badPictures.takeMessages())
    const values = (await latents.read()) as Float32Array
    batches.push({ captions, pictures: pictures.map((path) => basename(path)), latents: values, told: messages.length })
    latents.dispose()
  }
  return { batches, messages }
}

describe('a picture that turns out to be damaged', () => {
  it('is left out with a message where it is met, and another takes its place, however many are loaded at a time', async () => {
    const { group, folder } = await makeGroup(['b', 'd'])
    const { batches, messages } = await epoch(group, { workers: 1, bad: new BadPictures('skip') })
    const planned = planEpoch(group, 1)
    expect(batches.map(({ pictures }) => pictures.length)).toEqual(planned.map(({ items }) => items.length))
    const used = batches.flatMap(({ pictures }) => pictures)
    expect(new Set(used)).toEqual(new Set(['a.png', 'c.png', 'e.png', 'f.png', 'wide.png']))
    expect(batches.every(({ captions, pictures }) => captions.every((text, i) => pictures[i] === `${text}.png`))).toBe(
      true,
    )
    expect(messages).toHaveLength(2)
    const names = messages.map((message) => /(\w)\.png: the PNG image is damaged/.exec(message)![1])
    expect(names.toSorted()).toEqual(['b', 'd'])
    expect(messages[0]).toContain(join(folder, `${names[0]}.png`))
    expect(messages[0]).toContain('It is left out, the first; other pictures of its size take its places')
    expect(messages[1]).toContain('It is left out, 2 so far')
    const together = await epoch(group, { workers: 4, bad: new BadPictures('skip') })
    expect(together.batches).toEqual(batches)
    // The decoder's own reason, in brackets, is not always the same.
    const plain = (all: readonly string[]) => all.map((message) => message.replace(/\(.*\)/, ''))
    expect(plain(together.messages)).toEqual(plain(messages))
  })

  it('is found when latents are cached, and left out of the same places', async () => {
    const { group } = await makeGroup(['b', 'd'])
    const bad = new BadPictures('skip')
    const cache = new LatentCache({ vae, badPictures: bad, batchSize: 2 })
    const warnings: string[] = []
    let [done, total] = [0, 0]
    for await (const event of cache.fill(group)) {
      if (event.type === 'warning') warnings.push(event.message)
      else [done, total] = [event.done, event.total]
    }
    expect(warnings).toHaveLength(2)
    expect(done).toBe(total)
    const cached = await epoch(group, { bad, cache })
    expect(cached.messages).toEqual([])
    const loaded = await epoch(group, { bad: new BadPictures('skip') })
    expect(cached.batches.map(({ pictures }) => pictures)).toEqual(loaded.batches.map(({ pictures }) => pictures))
    cache.clear()
  })

  it('ends the run unless it may be left out, and where no other has its size', async () => {
    const { group } = await makeGroup(['b'])
    await expect(epoch(group, { bad: new BadPictures() })).rejects.toThrow(DataError)
    const cache = new LatentCache({ vae })
    const fill = async (): Promise<void> => {
      for await (const _ of cache.fill(group));
    }
    await expect(fill()).rejects.toThrow(DataError)
    const alone = await makeGroup([], { 'wide.png': await damaged(256) })
    const run = epoch(alone.group, { bad: new BadPictures('skip') })
    await expect(run).rejects.toThrow('wide.png: neither it nor another picture of its size can be read')
  })
})

describe('a training', () => {
  it('tells of a damaged picture when it is met, and goes on', async () => {
    const pictures = { 'a.png': await damaged(64), 'b.png': [64, 64], 'c.png': [64, 64], 'd.png': [64, 64] } as const
    const [model, data] = await Promise.all([saveTinyModel(), makeTinyData({ pictures })])
    const config = await tinyTraining(model, data, {
      data: { cacheLatents: false, onBadImage: 'skip', onMissingCaption: 'warn' },
    })
    const events = await eventsOf(trainNetwork(config))
    expect(only(events, 'step').map(({ step }) => step)).toEqual([1, 2])
    const bad = only(events, 'warning').filter(({ message }) => message.includes('a.png: the PNG image is damaged'))
    expect(bad).toHaveLength(1)
    expect(events.indexOf(bad[0]!)).toBeGreaterThan(events.indexOf(only(events, 'epoch')[0]!))
  })
})

describe('what stands in for a picture', () => {
  it('is another of its bucket, one that its batch does not have while there is any, or nothing', async () => {
    const { group } = await makeGroup([])
    const { images, buckets } = group.datasets[0]!
    for (const [batch, { bucket, items }] of planEpoch(group, 1).entries()) {
      const pictures = buckets[bucket]!.entries.map((entry) => images[entry]!)
      const planned = items.map(({ image }) => images[image]!)
      const left = new Set(pictures)
      const instead = (slot: number) => standIn(group, { epoch: 1, batch, slot }, (image) => left.has(image))?.image
      for (const image of planned) left.delete(image)
      const found = planned.map((_, slot) => instead(slot))
      expect(new Set(found).size).toBe(left.size === 0 ? 1 : planned.length)
      for (const image of found) expect(image === undefined ? left.size === 0 : left.has(image)).toBe(true)
      while (left.size > 1) left.delete(instead(0)!)
      expect(planned.map((_, slot) => instead(slot))).toEqual(planned.map(() => [...left][0]))
      left.clear()
      left.add(planned.at(-1)!)
      expect(instead(0)).toBe(planned.length > 1 ? planned.at(-1) : undefined)
    }
  })
})
