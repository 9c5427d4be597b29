import { basename } from 'node:path'
import { setTimeout } from 'node:timers/promises'
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

describe('readBatches', () => {
  it.each([0, 1, 2, 50])('gives the same batches in plan order with %i decoded ahead', async (prefetch) => {
    let running = 0
    const decode = async (path: string): Promise<DecodedImage> => {
      running++
      await setTimeout((path.charCodeAt(path.length - 5) % 5) * 2)
      running--
      const width = path.includes('wide') ? 128 : 64
      return { width, height: 64, pixels: new Uint8Array() }
    }
    const read: unknown[] = []
    for await (const batch of readBatches(group, 3, { prefetch, decode })) read.push(facts(batch))
    expect(read).toEqual(epochFacts(group, 3))
    expect(running).toBe(0)
  })

  it('decodes the pictures', async () => {
    const { value: batch } = await readBatches(group, 1).next()
    for (const { image, pixels } of batch!.items) {
      const { width, height } = image.crop.source
      expect(pixels).toEqual({ width, height, pixels: noisePixels(width, height) })
    }
  })

  it('decodes no further ahead than asked, and nothing more once left', async () => {
    let started = 0
    const decode = async (path: string): Promise<DecodedImage> => {
      started++
      return { width: path.includes('wide') ? 128 : 64, height: 64, pixels: new Uint8Array() }
    }
    const sizes = [...epochBatches(group, 1)].map((batch) => batch.items.length)
    const upTo = (count: number): number => sizes.slice(0, count).reduce((sum, size) => sum + size, 0)
    const reader = readBatches(group, 1, { prefetch: 2, workers: 100, decode })
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
    const decode = async (path: string): Promise<DecodedImage> => {
      if (calls++ >= firstSize) throw new DataError(path, 'gone')
      return { width: path.includes('wide') ? 128 : 64, height: 64, pixels: new Uint8Array() }
    }
    const reader = readBatches(group, 1, { decode })
    expect((await reader.next()).done).toBe(false)
    await expect(reader.next()).rejects.toThrow('gone')
    calls = 0
    const left = readBatches(group, 1, { decode })
    await left.next()
    await left.return()
    await setTimeout(10)
    process.off('unhandledRejection', listen)
    expect(unhandled).toEqual([])
  })

  it('reports a picture that changed its size after loading', async () => {
    const changing = await makeFolder({ 'a.png': [64, 64] })
    const config = await resolveDatasetConfig({ datasets: [{ resolution: 64, subsets: [{ image_dir: changing }] }] })
    const loaded = await loadDatasetGroup({ config }, { seed: 1 })
    await addFiles(changing, { 'a.png': [80, 64] })
    await expect(readBatches(loaded, 1).next()).rejects.toThrow('the picture is now 80x64 but was 64x64 at the start')
  })
})
