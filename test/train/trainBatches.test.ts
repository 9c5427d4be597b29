import { join } from 'node:path'
import sharp from 'sharp'
import { afterAll, describe, expect, it } from 'vitest'
import { resolveDatasetConfig } from '../../lib/config/datasetConfig.ts'
import type { DatasetFile } from '../../lib/config/datasetFile.ts'
import { epochBatches } from '../../lib/data/batches.ts'
import { type DatasetGroup, loadDatasetGroup } from '../../lib/data/datasetGroup.ts'
import { writeLatentFile } from '../../lib/data/latentFiles.ts'
import { Vae } from '../../lib/models/stableDiffusion/vae.ts'
import { randomWeights } from '../../lib/nn/init.ts'
import { memory } from '../../lib/tensor/runtime.ts'
import { LatentCache } from '../../lib/train/inputs/latentCache.ts'
import { TrainBatches } from '../../lib/train/trainBatches.ts'
import { makeFolder } from '../support/pictures.ts'
import { tinyConfigs } from '../support/tinyModels.ts'

const vae = new Vae(tinyConfigs.tinySd1.vae, randomWeights(1))
afterAll(() => vae.dispose())
const { reduction } = vae
const side = 64 / reduction
const progress = { firstStep: 0, batchesPerStep: 1, totalSteps: 10 }

async function load(
  dataset: DatasetFile['datasets'][number],
  cacheLatents = false,
  maskedLoss = false,
): Promise<DatasetGroup> {
  const config = await resolveDatasetConfig({ datasets: [dataset] }, { maskedLoss })
  return loadDatasetGroup({ config }, { seed: 5, cacheLatents })
}

interface Facts {
  readonly captions: readonly string[]
  readonly latents: Float32Array
  readonly mask: Float32Array | undefined
}

async function epoch(group: DatasetGroup, cache: LatentCache | null = null, workers = 2): Promise<Facts[]> {
  const facts: Facts[] = []
  const batches = new TrainBatches(group, { vae, cache, ignoreExif: false, workers })
  for await (const { latents, captions, mask } of batches.epoch(1, progress)) {
    facts.push({ captions, latents: (await latents.read()) as Float32Array, mask })
    latents.dispose()
  }
  return facts
}

/** A picture whose left half is transparent. */
async function halfTransparent(): Promise<Buffer> {
  const pixels = Buffer.from(
    Array.from({ length: 64 * 64 * 4 }, (_, i) => (i % 4 === 3 ? (i % 256 < 128 ? 0 : 255) : i % 251)),
  )
  return sharp(pixels, { raw: { width: 64, height: 64, channels: 4 } })
    .png()
    .toBuffer()
}

/** A mask whose left half is black, and whose green and blue say otherwise. */
async function halfBlack(width: number, height: number): Promise<Buffer> {
  const pixels = Buffer.from(
    Array.from({ length: width * height * 3 }, (_, i) => (i % 3 === 0 ? ((i / 3) % width < width / 2 ? 0 : 255) : 77)),
  )
  return sharp(pixels, { raw: { width, height, channels: 3 } })
    .png()
    .toBuffer()
}

describe('TrainBatches', () => {
  it('are the same for any number of pictures loaded at a time', async () => {
    const pictures = Object.fromEntries(Array.from({ length: 5 }, (_, i) => [`${i}.png`, [80 + i, 64] as const]))
    const options = { enable_bucket: true, min_bucket_reso: 64, max_bucket_reso: 64 }
    const subset = { image_dir: await makeFolder(pictures), random_crop: true, flip_aug: true, class_tokens: 'x' }
    const group = await load({ resolution: 64, batch_size: 2, ...options, subsets: [subset] })
    expect(await epoch(group, null, 4)).toEqual(await epoch(group, null, 1))
  })

  it.each([false, true])(
    'carry masks at the size of latents, mirrored with their pictures (cached: %s)',
    async (cached) => {
      const folder = await makeFolder({ 'a.png': await halfTransparent(), 'b.png': [64, 64] })
      const subset = { image_dir: folder, alpha_mask: true, flip_aug: true, num_repeats: 8 }
      const group = await load({ resolution: 64, subsets: [subset] }, cached)
      const cache = cached ? new LatentCache({ vae }) : null
      if (cache !== null) for await (const _ of cache.fill(group));
      const rows = new Map<string, number>()
      for (const { mask } of await epoch(group, cache)) {
        expect(mask).toHaveLength(side * side)
        const [left, right] = [mask![0]!, mask![side - 1]!]
        rows.set(`${left},${right}`, (rows.get(`${left},${right}`) ?? 0) + 1)
      }
      expect(rows.get('1,1')).toBe(8)
      expect((rows.get('0,1') ?? 0) + (rows.get('1,0') ?? 0)).toBe(8)
      expect(rows.size).toBe(3)
      cache?.clear()
    },
  )

  it.each([false, true])(
    'carry masks of a folder, resized, cropped and mirrored with their pictures (cached: %s)',
    async (cached) => {
      const pictures = await makeFolder({ 'a.png': [256, 128] })
      const masks = await makeFolder({ 'a.png': await halfBlack(256, 128) })
      const subset = { image_dir: pictures, conditioning_data_dir: masks, flip_aug: true, num_repeats: 8 }
      const plain = { image_dir: await makeFolder({ 'b.png': [128, 128] }), num_repeats: 8 }
      const options = { resolution: 64, batch_size: 2, enable_bucket: true, min_bucket_reso: 64, max_bucket_reso: 64 }
      const group = await load({ ...options, subsets: [subset, plain] }, cached, true)
      const cache = cached ? new LatentCache({ vae }) : null
      if (cache !== null) for await (const _ of cache.fill(group));
      const rows: string[] = []
      for (const { mask } of await epoch(group, cache))
        for (let at = 0; mask && at < mask.length; at += side * side) rows.push(mask.subarray(at, at + side).join())
      const half = new Array<number>(side / 2)
      const [left, right] = [half.fill(0), new Array<number>(side / 2).fill(1)]
      const kinds = [[...left, ...right].join(), [...right, ...left].join(), new Array<number>(side).fill(1).join()]
      expect(new Set(rows)).toEqual(new Set(kinds))
      expect(rows.filter((row) => row !== kinds[2])).toHaveLength(8)
      cache?.clear()
    },
  )

  it('cut a window out of a mask where it is cut out of the picture', async () => {
    const [width, height] = [200, 64]
    const ramp = Buffer.from(Array.from({ length: width * height * 3 }, (_, i) => Math.floor((i / 3) % width)))
    const picture = await sharp(ramp, { raw: { width, height, channels: 3 } })
      .png()
      .toBuffer()
    const folder = await makeFolder({ 'a.png': picture })
    const subset = { image_dir: folder, conditioning_data_dir: folder, random_crop: true, num_repeats: 6 }
    const group = await load({ resolution: 64, subsets: [subset] }, false, true)
    const starts = [...epochBatches(group, 1)].map(({ items }) => items[0]!.crop.left)
    expect(new Set(starts).size).toBeGreaterThan(1)
    const found = (await epoch(group)).map(({ mask }) => Math.round(mask![0]! * 255 - (reduction - 1) / 2))
    expect(found).toEqual(starts)
  })

  it('have no masks where no subset asks for them', async () => {
    const folder = await makeFolder({ 'a.png': await halfTransparent() })
    const [batch] = await epoch(await load({ resolution: 64, subsets: [{ image_dir: folder }] }))
    expect(batch!.mask).toBeUndefined()
  })

  it.each([false, true])('hold the latents of files, scaled (cached: %s)', async (cached) => {
    const channels = vae.config.latentChannels
    const metadata = JSON.stringify({ a: { caption: 'a cat', train_resolution: [64, 64] } })
    const folder = await makeFolder({ 'meta.json': metadata })
    const values = Float32Array.from({ length: side * side * channels }, (_, i) => i / 8)
    await writeLatentFile(join(folder, 'a.npz'), { values, shape: [side, side, channels] })
    const group = await load({ subsets: [{ metadata_file: join(folder, 'meta.json'), image_dir: folder }] }, cached)
    const cache = cached ? new LatentCache({ vae }) : null
    if (cache !== null) for await (const _ of cache.fill(group));
    const [batch] = await epoch(group, cache)
    expect(batch!.captions).toEqual(['a cat'])
    expect(batch!.latents).toEqual(values.map((value) => Math.fround(value * Math.fround(vae.config.scalingFactor))))
  })

  it('leave no tensor behind when the loop is left or aborted', async () => {
    const pictures = Object.fromEntries(Array.from({ length: 6 }, (_, i) => [`${i}.png`, [64, 64] as const]))
    const group = await load({ resolution: 64, subsets: [{ image_dir: await makeFolder(pictures) }] })
    const before = memory().liveBuffers
    for await (const { latents } of new TrainBatches(group, { vae, cache: null, ignoreExif: false }).epoch(
      1,
      progress,
    )) {
      await latents.read()
      latents.dispose()
      break
    }
    const abort = new AbortController()
    const batches = new TrainBatches(group, { vae, cache: null, ignoreExif: false, signal: abort.signal })
    await expect(
      (async () => {
        for await (const { latents } of batches.epoch(1, progress)) {
          await latents.read()
          latents.dispose()
          abort.abort()
        }
      })(),
    ).rejects.toMatchObject({ name: 'AbortError' })
    expect(memory().liveBuffers).toBe(before)
  })
})
