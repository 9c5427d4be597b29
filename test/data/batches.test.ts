import { basename } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import sharp from 'sharp'
import { beforeAll, describe, expect, it } from 'vitest'
import { resolveDatasetConfig } from '../../lib/config/datasetConfig.ts'
import { type Batch, epochBatches, readBatches } from '../../lib/data/batches.ts'
import { type DatasetGroup, loadDatasetGroup } from '../../lib/data/datasetGroup.ts'
import { planEpoch } from '../../lib/data/epochPlan.ts'
import type { DecodedImage } from '../../lib/data/image.ts'
import { DataError } from '../../lib/util/errors.ts'
import { addFiles, type FileContent, makeFolder, noisePixels } from '../support/pictures.ts'

let folder: string
let load: (seed: number) => Promise<DatasetGroup>
let group: DatasetGroup

beforeAll(async () => {
  const files: Record<string, FileContent> = {}
  for (let i = 0; i < 10; i++) {
    files[`wide${i}.png`] = [128, 64]
    files[`wide${i}.caption`] = `wide ${i}, a, b, c, d`
  }
  for (let i = 0; i < 7; i++) files[`square${i}.png`] = [64, 64]
  folder = await makeFolder(files)
  const plain = await makeFolder({ 'p0.png': [64, 64], 'p1.png': [64, 64] })
  const config = await resolveDatasetConfig({
    general: { resolution: 96, enable_bucket: true, min_bucket_reso: 32, max_bucket_reso: 128, bucket_reso_steps: 32 },
    datasets: [
      {
        batch_size: 4,
        subsets: [
          { image_dir: folder, num_repeats: 3, flip_aug: true, shuffle_caption: true, keep_tokens: 1 },
          { image_dir: plain, num_repeats: 2, is_reg: true },
        ],
      },
      { batch_size: 2, subsets: [{ image_dir: folder }] },
    ],
  })
  load = (seed) => loadDatasetGroup({ config }, { seed, priorLossWeight: 0.25 })
  group = await load(7)
})

/** A batch as plain facts to compare. */
function facts(batch: Batch): unknown {
  const items = batch.items.map(({ image, caption, flip, lossWeight }) => [
    basename(image.path),
    caption,
    flip,
    lossWeight,
  ])
  return [batch.dataset, batch.size, items]
}

function epochFacts(of: DatasetGroup, epoch: number): unknown[] {
  return [...epochBatches(of, epoch)].map(facts)
}

describe('planEpoch', () => {
  it.each([1, 2, 3, 1000])('holds every picture exactly as often as it repeats in epoch %i', (epoch) => {
    const counts = group.datasets.map((dataset) => dataset.images.map(() => 0))
    for (const batch of planEpoch(group, epoch)) {
      for (const { image } of batch.items) counts[batch.dataset]![image]!++
    }
    expect(counts).toEqual(group.datasets.map((dataset) => dataset.images.map((image) => image.repeats)))
  })

  it('never mixes sizes or datasets, and keeps to the batch size', () => {
    const plan = planEpoch(group, 1)
    expect(plan).toHaveLength(group.batchesPerEpoch)
    for (const { dataset: index, bucket, items } of plan) {
      const dataset = group.datasets[index]!
      expect(items.length).toBeGreaterThan(0)
      expect(items.length).toBeLessThanOrEqual(dataset.config.batchSize)
      for (const item of items) expect(dataset.images[item.image]!.bucket).toBe(bucket)
    }
  })

  it('uses every position once, so that no two uses share their randomness', () => {
    for (const dataset of group.datasets) {
      const positions = planEpoch(group, 5)
        .filter((batch) => batch.dataset === dataset.index)
        .flatMap((batch) => batch.items.map((item) => item.position))
      expect(positions.sort((a, b) => a - b)).toEqual(positions.map((_, at) => at))
    }
  })

  it('is the same for the same seed and epoch, and differs between epochs and seeds', async () => {
    expect(planEpoch(await load(7), 3)).toEqual(planEpoch(group, 3))
    expect(planEpoch(group, 4)).not.toEqual(planEpoch(group, 3))
    expect(planEpoch(await load(8), 3)).not.toEqual(planEpoch(group, 3))
  })

  it('changes which pictures share a batch, not only the order of batches', () => {
    const companions = (epoch: number): Set<string> =>
      new Set(
        planEpoch(group, epoch).map(
          ({ dataset, items }) =>
            `${dataset}:${items
              .map((item) => item.position)
              .sort()
              .join()}`,
        ),
      )
    const first = companions(1)
    const shared = [...companions(2)].filter((batch) => first.has(batch))
    expect(shared.length).toBeLessThan(first.size / 2)
  })
})

describe('epochBatches', () => {
  it('draws captions and flips anew for each use, by the options of the subset of the picture', () => {
    const items = [1, 2, 3, 4].flatMap((epoch) => [...epochBatches(group, epoch)].flatMap((batch) => batch.items))
    const shuffled = items.filter(({ image }) => image.subset.shuffleCaption && image.path.includes('wide3'))
    expect(new Set(shuffled.map((item) => item.caption)).size).toBeGreaterThan(4)
    for (const { caption } of shuffled) expect(caption.split(', ')[0]).toBe('wide 3')
    const flips = items.filter(({ image }) => image.subset.flipAug).map((item) => item.flip)
    expect(flips.length).toBe(4 * 51)
    expect(Math.abs(flips.filter(Boolean).length - flips.length / 2)).toBeLessThan(36)
    for (const { image, flip, caption } of items.filter(({ image: { subset } }) => !subset.flipAug)) {
      expect([flip, caption]).toEqual([false, image.caption])
    }
    expect(new Set(items.filter(({ image }) => image.subset.isReg).map((item) => item.lossWeight))).toEqual(
      new Set([0.25]),
    )
  })

  it('gives the rest of the epoch when resumed within it', () => {
    expect([...epochBatches(group, 2, { from: 3 })].map(facts)).toEqual(epochFacts(group, 2).slice(3))
  })
})

describe('random choices of a use', () => {
  async function loadOne(dataset: object, subset: object, files: Record<string, FileContent>): Promise<DatasetGroup> {
    const config = await resolveDatasetConfig({
      datasets: [{ ...dataset, subsets: [{ ...subset, image_dir: await makeFolder(files), num_repeats: 20 }] }],
    })
    return loadDatasetGroup({ config }, { seed: 3 })
  }
  const buckets = { resolution: 64, enable_bucket: true, min_bucket_reso: 64, max_bucket_reso: 64 }

  it('place the window anywhere along the longer side, in buckets', async () => {
    const of = await loadOne(buckets, { random_crop: true }, { 'a.png': [128, 64] })
    const crops = [...epochBatches(of, 1)].flatMap(({ items }) => items.map(({ crop }) => crop))
    expect(new Set(crops.map(({ left }) => left)).size).toBeGreaterThan(10)
    for (const { left, top, resized } of crops) {
      expect([top, resized]).toEqual([0, { width: 128, height: 64 }])
      expect(left).toBeGreaterThanOrEqual(0)
      expect(left).toBeLessThanOrEqual(64)
    }
    expect([...epochBatches(of, 1)]).toEqual([...epochBatches(of, 1)])
    expect([...epochBatches(of, 2)]).not.toEqual([...epochBatches(of, 1)])
  })

  it('cut a window out of larger pictures without buckets, and around faces', async () => {
    const plain = await loadOne({ resolution: 64 }, { random_crop: true }, { 'a.png': [100, 90] })
    for (const { items } of epochBatches(plain, 1)) expect(items[0]!.crop.resized).toEqual({ width: 100, height: 90 })
    const files = { 'a_0150_0100_0020_0020.png': [200, 200] } as const
    const face = await loadOne({ resolution: 64 }, { face_crop_aug_range: [1, 4] }, files)
    for (const { items } of epochBatches(face, 1)) {
      const { resized, left, target } = items[0]!.crop
      const centre = (150 * resized.width) / 200
      expect(target).toEqual({ width: 64, height: 64 })
      expect(Math.abs(left + 32 - centre)).toBeLessThan(resized.width - 64 === left ? 32 : 2)
    }
    await expect(loadOne({ resolution: 64 }, { random_crop: true }, { 'a.png': [100, 50] })).rejects.toThrow(
      'the picture is 100x50, smaller than the resolution, 64x64',
    )
  })

  it('change the colours of a third of the uses, where asked to', async () => {
    const of = await loadOne(buckets, { color_aug: true }, { 'a.png': [64, 64], 'b.png': [64, 64] })
    const items = [1, 2, 3, 4, 5].flatMap((epoch) => [...epochBatches(of, epoch)].flatMap((batch) => batch.items))
    const changed = items.filter(({ color }) => color !== undefined)
    expect(Math.abs(changed.length / items.length - 0.33)).toBeLessThan(0.12)
    expect(new Set(changed.map(({ color }) => color!.kind))).toEqual(new Set(['hue', 'gamma']))
    expect([...epochBatches(group, 1)].every(({ items }) => items.every(({ color }) => color === undefined))).toBe(true)
  })

  it('let tags come in by optimizer steps, the same for a resumed epoch', async () => {
    const files = { 'a.png': [64, 64], 'a.caption': 'a, b, c, d, e, f, g, h, i, j' } as const
    const of = await loadOne(buckets, { token_warmup_step: 0.5, token_warmup_min: 1 }, files)
    const count = (progress: object, from = 0): number[] =>
      [
        ...epochBatches(of, 1, { from, progress: { firstStep: 0, batchesPerStep: 2, totalSteps: 20, ...progress } }),
      ].map(({ items }) => items[0]!.caption.split(', ').length)
    // floor(step * (10 - 1) / 10) + 1 tags until step 10
    const steps = Array.from({ length: 20 }, (_, batch) => Math.floor((Math.floor(batch / 2) * 9) / 10) + 1)
    expect(count({})).toEqual(steps)
    expect(count({}, 7)).toEqual(steps.slice(7))
    expect(new Set(count({ firstStep: 10 }))).toEqual(new Set([10]))
  })

  it('leave a record of sizes for each use', async () => {
    const of = await loadOne(buckets, {}, { 'a.png': [128, 64] })
    const [batch] = [...epochBatches(of, 1)]
    expect(batch!.items[0]).toMatchObject({ originalSize: [128, 64], cropLtrb: [0, 16, 64, 48] })
  })

  it('are refused where latents are cached', async () => {
    const config = await resolveDatasetConfig({
      datasets: [{ ...buckets, subsets: [{ image_dir: folder, random_crop: true }] }],
    })
    await expect(loadDatasetGroup({ config }, { seed: 1, cacheLatents: true })).rejects.toThrow('random_crop of')
  })
})

describe('readBatches', () => {
  it.each([0, 1, 2, 50])('gives the same batches in plan order with %i decoded ahead', async (prefetch) => {
    let running = 0
    const read = async (path: string): Promise<DecodedImage> => {
      running++
      await setTimeout((path.charCodeAt(path.length - 5) % 5) * 2)
      running--
      const width = path.includes('wide') ? 128 : 64
      return { width, height: 64, pixels: new Uint8Array() }
    }
    const seen: unknown[] = []
    for await (const batch of readBatches(group, 3, { prefetch, read })) seen.push(facts(batch))
    expect(seen).toEqual(epochFacts(group, 3))
    expect(running).toBe(0)
  })

  it('reads the pictures in their training size', async () => {
    const { value: batch } = await readBatches(group, 1).next()
    for (const { image, crop, pixels } of batch!.items) {
      const { width, height } = crop.target
      expect([pixels.width, pixels.height, pixels.pixels.length]).toEqual([width, height, width * height * 3])
      if (image.path.includes('wide')) expect(pixels.pixels).toEqual(noisePixels(128, 64))
    }
  })

  it('decodes no further ahead than asked, and nothing more once left', async () => {
    let started = 0
    const read = async (path: string): Promise<DecodedImage> => {
      started++
      return { width: path.includes('wide') ? 128 : 64, height: 64, pixels: new Uint8Array() }
    }
    const sizes = [...epochBatches(group, 1)].map((batch) => batch.items.length)
    const upTo = (count: number): number => sizes.slice(0, count).reduce((sum, size) => sum + size, 0)
    const reader = readBatches(group, 1, { prefetch: 2, workers: 100, read })
    await reader.next()
    expect(started).toBe(upTo(3))
    await reader.next()
    expect(started).toBe(upTo(4))
    await reader.return()
    await setTimeout(5)
    expect(started).toBe(upTo(4))
  })

  it('raises a failure when its batch comes, and no unhandled rejection when the loop is left before', async () => {
    const unhandled: unknown[] = []
    const listen = (reason: unknown): unknown => unhandled.push(reason)
    process.on('unhandledRejection', listen)
    let calls = 0
    const firstSize = [...epochBatches(group, 1)][0]!.items.length
    const read = async (path: string): Promise<DecodedImage> => {
      if (calls++ >= firstSize) throw new DataError(path, 'gone')
      return { width: path.includes('wide') ? 128 : 64, height: 64, pixels: new Uint8Array() }
    }
    const reader = readBatches(group, 1, { read })
    expect((await reader.next()).done).toBe(false)
    await expect(reader.next()).rejects.toThrow('gone')
    calls = 0
    const left = readBatches(group, 1, { read })
    await left.next()
    await left.return()
    await setTimeout(10)
    process.off('unhandledRejection', listen)
    expect(unhandled).toEqual([])
  })

  it.each([1, 3])('decodes %i pictures at a time', async (workers) => {
    let [running, most] = [0, 0]
    const read = async (): Promise<DecodedImage> => {
      most = Math.max(most, ++running)
      await setTimeout(1)
      running--
      return { width: 8, height: 8, pixels: new Uint8Array() }
    }
    for await (const _ of readBatches(group, 1, { prefetch: 3, workers, read }));
    expect(most).toBe(workers)
  })

  it('ends at once with the reason of its signal, and starts no picture after that', async () => {
    const abort = new AbortController()
    let started = 0
    let release = (): void => undefined
    const held = new Promise<void>((resolve) => {
      release = resolve
    })
    const read = async (): Promise<DecodedImage> => {
      if (++started === 6) await held
      return { width: 8, height: 8, pixels: new Uint8Array() }
    }
    const reader = readBatches(group, 1, { workers: 1, prefetch: 2, signal: abort.signal, read })
    await reader.next()
    const waiting = (async () => {
      for await (const _ of reader);
    })()
    const failure = expect(waiting).rejects.toMatchObject({ name: 'AbortError' })
    await setTimeout(5)
    abort.abort()
    await failure
    expect(started).toBe(6)
    release()
    await setTimeout(5)
    expect(started).toBe(6)
    await expect(readBatches(group, 1, { signal: abort.signal, read }).next()).rejects.toMatchObject({
      name: 'AbortError',
    })
    expect(started).toBe(6)
  })

  it('gives the opacity of pictures of subsets with masks, of the training size', async () => {
    const rgba = Buffer.alloc(64 * 64 * 4, 200)
    for (let i = 0; i < 64 * 64; i++) rgba[i * 4 + 3] = i % 64 < 32 ? 0 : 255
    const png = await sharp(rgba, { raw: { width: 64, height: 64, channels: 4 } })
      .png()
      .toBuffer()
    const masked = await makeFolder({ 'a.png': png, 'b.png': [64, 64] })
    const options = {
      resolution: 32,
      enable_bucket: true,
      min_bucket_reso: 32,
      max_bucket_reso: 32,
      bucket_reso_steps: 32,
    }
    const config = await resolveDatasetConfig({
      datasets: [{ ...options, batch_size: 2, subsets: [{ image_dir: masked, alpha_mask: true }] }],
    })
    const { value: batch } = await readBatches(await loadDatasetGroup({ config }, { seed: 1 }), 1).next()
    const alphas = Object.fromEntries(batch!.items.map(({ image, pixels }) => [basename(image.path), pixels.alpha]))
    expect(alphas['b.png']).toBeUndefined()
    expect([...alphas['a.png']!.subarray(0, 32)]).toEqual([...Array(16).fill(0), ...Array(16).fill(255)])
  })

  it('reports a picture that changed its size after loading', async () => {
    const changing = await makeFolder({ 'a.png': [64, 64] })
    const config = await resolveDatasetConfig({ datasets: [{ resolution: 64, subsets: [{ image_dir: changing }] }] })
    const loaded = await loadDatasetGroup({ config }, { seed: 1 })
    await addFiles(changing, { 'a.png': [80, 64] })
    await expect(readBatches(loaded, 1).next()).rejects.toThrow('the picture is now 80x64 but was 64x64 at the start')
  })
})
