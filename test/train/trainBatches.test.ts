import { join } from 'node:path'
import sharp from 'sharp'
import { afterAll, describe, expect, it } from 'vitest'
import { resolveDatasetConfig } from '../../lib/config/datasetConfig.ts'
import type { DatasetFile } from '../../lib/config/datasetFile.ts'
import { type DatasetGroup, loadDatasetGroup } from '../../lib/data/datasetGroup.ts'
import { writeLatentFile } from '../../lib/data/latentFiles.ts'
import { Vae } from '../../lib/models/stableDiffusion/vae.ts'
import { randomWeights } from '../../lib/nn/init.ts'
import { memory } from '../../lib/tensor/runtime.ts'
import { LatentCache } from '../../lib/train/latentCache.ts'
import { TrainBatches } from '../../lib/train/trainBatches.ts'
import { makeFolder } from '../support/pictures.ts'
import { tinyConfigs } from '../support/tinyModels.ts'

const vae = new Vae(tinyConfigs.tinySd1.vae, randomWeights(1))
afterAll(() => vae.dispose())
const { reduction } = vae
const side = 64 / reduction
const progress = { firstStep: 0, batchesPerStep: 1, totalSteps: 10 }

async function load(dataset: DatasetFile['datasets'][number], cacheLatents = false): Promise<DatasetGroup> {
  return loadDatasetGroup({ config: await resolveDatasetConfig({ datasets: [dataset] }) }, { seed: 5, cacheLatents })
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
