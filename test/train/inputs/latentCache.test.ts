import { readdir, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, describe, expect, it } from 'vitest'
import { epochBatches } from '../../../lib/data/batches.ts'
import { type DatasetGroup, loadDatasetGroup } from '../../../lib/data/datasetGroup.ts'
import { readLatentFile } from '../../../lib/data/latentFiles.ts'
import { Vae } from '../../../lib/models/stableDiffusion/vae.ts'
import { randomWeights } from '../../../lib/nn/init.ts'
import { memory } from '../../../lib/tensor/runtime.ts'
import type { CacheEvent } from '../../../lib/train/events.ts'
import { type FillOptions, LatentCache, type LatentCacheOptions } from '../../../lib/train/inputs/latentCache.ts'
import { LatentStore } from '../../../lib/train/inputs/latentStore.ts'
import { ArgumentError, DataError } from '../../../lib/util/errors.ts'
import { addFiles, makeFolder } from '../../support/pictures.ts'
import { tinyConfigs } from '../../support/tinyModels.ts'

const vae = new Vae(tinyConfigs.tinySd1.vae, randomWeights(1))
afterAll(() => vae.dispose())

/** Pictures of two buckets, the third and the fourth mirrored too. */
async function makeGroup(): Promise<{ group: DatasetGroup; pictures: string }> {
  const pictures = await makeFolder({
    'plain/a.bmp': [64, 64],
    'plain/b.png': [100, 70],
    'mirrored/c.png': [70, 100],
    'mirrored/d.webp': [80, 80],
  })
  return { group: await loadGroup(pictures), pictures }
}

async function loadGroup(pictures: string, seed = 1): Promise<DatasetGroup> {
  const toml = `[[datasets]]
resolution = 64
batch_size = 2
enable_bucket = true
min_bucket_reso = 32
max_bucket_reso = 128
bucket_reso_steps = 16

  [[datasets.subsets]]
  image_dir = ${JSON.stringify(join(pictures, 'plain'))}

  [[datasets.subsets]]
  image_dir = ${JSON.stringify(join(pictures, 'mirrored'))}
  flip_aug = true
`
  const configFile = join(await makeFolder({ 'data.toml': toml }), 'data.toml')
  return loadDatasetGroup({ configFile }, { seed, cacheLatents: true })
}

interface Filled {
  readonly last: CacheEvent
  readonly warnings: readonly string[]
}

async function fill(cache: LatentCache, group: DatasetGroup, options: FillOptions = {}): Promise<Filled> {
  const warnings: string[] = []
  let last: CacheEvent = { type: 'cache', what: 'pictures', done: 0, total: 0, reused: 0, perSecond: 0 }
  for await (const event of cache.fill(group, options)) {
    if (event.type === 'cache') last = event
    else warnings.push(event.message)
  }
  return { last, warnings }
}

/** Every batch of two epochs. */
async function latentsOf(cache: LatentCache, group: DatasetGroup): Promise<Float32Array[]> {
  const found: Float32Array[] = []
  for (const epoch of [1, 2]) {
    for await (const { toTensor } of cache.batches(epochBatches(group, epoch))) {
      const latents = toTensor()
      found.push((await latents.read()) as Float32Array)
      latents.dispose()
    }
  }
  return found
}

const openStore = (folder: string, encoder = vae): Promise<LatentStore> => LatentStore.open(folder, encoder)
const withStore = async (folder: string, options: Partial<LatentCacheOptions> = {}): Promise<LatentCache> =>
  new LatentCache({ vae, store: await openStore(folder, options.vae), ...options })

async function entriesOf(folder: string): Promise<string[]> {
  const names = await readdir(folder, { recursive: true })
  return names.filter((name) => name.endsWith('.npz')).map((name) => join(folder, name))
}

describe('a cache of latents', () => {
  it('gives the same bits from memory, from files and from files of another run, whatever the seed and the batch size', async () => {
    const { group, pictures } = await makeGroup()
    const folder = await makeFolder()
    const inMemory = new LatentCache({ vae, batchSize: 4 })
    expect((await fill(inMemory, group)).last).toMatchObject({ done: 6, total: 6, reused: 0 })
    const expected = await latentsOf(inMemory, group)

    const cold = await withStore(folder)
    expect((await fill(cold, group)).last).toMatchObject({ done: 6, total: 6, reused: 0 })
    expect(await latentsOf(cold, group)).toEqual(expected)
    expect(await entriesOf(folder)).toHaveLength(6)

    const warm = await withStore(folder, { batchSize: 3 })
    expect((await fill(warm, await loadGroup(pictures, 2))).last).toMatchObject({ done: 6, total: 6, reused: 6 })
    expect(await latentsOf(warm, group)).toEqual(expected)
  })

  it('encodes each mirrored picture from mirrored pixels, and only where its subset asks for it', async () => {
    const { group } = await makeGroup()
    const inMemory = new LatentCache({ vae })
    await fill(inMemory, group)
    const [plain, , mirrored] = group.datasets[0]!.images
    const take = async (image: typeof plain, flip: boolean): Promise<Float32Array> => {
      for await (const { toTensor } of inMemory.batches([{ dataset: 0, items: [{ image: image!, flip }] }])) {
        const latents = toTensor()
        const values = (await latents.read()) as Float32Array
        latents.dispose()
        return values
      }
      throw new Error('no batch')
    }
    expect(await take(mirrored, true)).not.toEqual(await take(mirrored, false))
    await expect(take(plain, true)).rejects.toThrow(/a\.bmp: its latent is not in the cache/)
  })

  it('makes a latent again when the picture, its crop or the VAE is another one, though name, size and time are the same', async () => {
    const { group, pictures } = await makeGroup()
    const folder = await makeFolder()
    await fill(await withStore(folder), group)

    const path = join(pictures, 'plain/a.bmp')
    const { atime, mtime } = await stat(path)
    const bytes = await readFile(path)
    bytes.writeUInt8(bytes.readUInt8(100) ^ 1, 100)
    await writeFile(path, bytes)
    await utimes(path, atime, mtime)
    expect((await fill(await withStore(folder), await loadGroup(pictures))).last).toMatchObject({ done: 6, reused: 5 })

    const [dataset] = group.datasets
    const moved = dataset!.images.map((image) => ({ ...image, crop: { ...image.crop, top: image.crop.top + 1 } }))
    const shifted = { ...group, datasets: [{ ...dataset!, images: [moved[1]!] }] }
    expect((await fill(await withStore(folder), shifted)).last).toMatchObject({ done: 1, reused: 0 })

    const sharper = dataset!.images.map((image) => ({
      ...image,
      subset: { ...image.subset, resizeInterpolation: 'lanczos' as const },
    }))
    const resized = { ...group, datasets: [{ ...dataset!, images: [sharper[1]!] }] }
    expect((await fill(await withStore(folder), resized)).last).toMatchObject({ done: 1, reused: 0 })

    const other = new Vae(tinyConfigs.tinySd1.vae, randomWeights(2))
    expect((await fill(await withStore(folder, { vae: other }), group)).last).toMatchObject({ done: 6, reused: 0 })
    other.dispose()
    const half = new Vae(tinyConfigs.tinySd1.vae, randomWeights(1), 'bfloat16')
    expect((await fill(await withStore(folder, { vae: half }), group)).last).toMatchObject({ done: 6, reused: 0 })
    half.dispose()
    expect((await fill(await withStore(folder, { ignoreExif: true }), group)).last).toMatchObject({ reused: 0 })
  })

  it.each([
    [
      'a changed bit',
      async (path: string) => {
        const bytes = await readFile(path)
        bytes.writeUInt8(bytes.readUInt8(300) ^ 1, 300)
        await writeFile(path, bytes)
      },
    ],
    ['a lost end', async (path: string) => writeFile(path, (await readFile(path)).subarray(0, 200))],
    ['no content', async (path: string) => writeFile(path, '')],
    ['the bytes of another entry', async (path: string, other: string) => writeFile(path, await readFile(other))],
  ])('makes an entry with %s again, with a warning, before training and during it', async (_what, damage) => {
    const { group } = await makeGroup()
    const folder = await makeFolder()
    const cache = await withStore(folder)
    await fill(cache, group)
    const expected = await latentsOf(cache, group)
    const entries = await entriesOf(folder)
    await damage(entries[0]!, entries[1]!)
    const { last, warnings } = await fill(await withStore(folder), group)
    expect(last).toMatchObject({ done: 6, total: 6, reused: 5 })
    expect(warnings).toHaveLength(1)
    expect(warnings[0]).toContain(entries[0])
    expect(warnings[0]).toContain('the latent is made again')

    for (const entry of entries) await damage(entry, entry === entries[1] ? entries[0]! : entries[1]!)
    expect(await latentsOf(cache, group)).toEqual(expected)
    for (const entry of entries) await rm(entry)
    expect(await latentsOf(cache, group)).toEqual(expected)
  })

  it('goes on where an interrupted filling stopped', async () => {
    const { group } = await makeGroup()
    const folder = await makeFolder()
    const interrupt = new AbortController()
    let done = 0
    for await (const event of (await withStore(folder)).fill(group, { signal: interrupt.signal })) {
      if (event.type !== 'cache') continue
      done = event.done
      if (done >= 2) interrupt.abort()
    }
    expect(done).toBeGreaterThanOrEqual(2)
    expect(done).toBeLessThan(6)
    expect(await entriesOf(folder)).toHaveLength(done)
    expect((await fill(await withStore(folder), group)).last).toMatchObject({ done: 6, reused: done })
  })

  it('fills in parts that have nothing in common and together are all', async () => {
    const { group } = await makeGroup()
    const folders = [await makeFolder(), await makeFolder()]
    const names: string[] = []
    for (const [index, folder] of folders.entries()) {
      await fill(await withStore(folder), group, { shard: { index, count: 2 } })
      names.push(...(await entriesOf(folder)).map((path) => path.slice(folder.length)))
    }
    const whole = await makeFolder()
    await fill(await withStore(whole), group)
    expect(names.sort()).toEqual((await entriesOf(whole)).map((path) => path.slice(whole.length)).sort())

    const inMemory = new LatentCache({ vae })
    await fill(inMemory, group)
    const part = await withStore(folders[1]!)
    await fill(part, group, { shard: { index: 1, count: 2 } })
    expect(await latentsOf(part, group), 'the other part is made when it is asked for').toEqual(
      await latentsOf(inMemory, group),
    )
    await expect(fill(inMemory, group, { shard: { index: 0, count: 2 } })).rejects.toThrow(ArgumentError)
    await expect(fill(part, group, { shard: { index: 2, count: 2 } })).rejects.toThrow(/received 2 of 2/)
  })

  it('names a picture that cannot be decoded or has another size by now', async () => {
    const { group, pictures } = await makeGroup()
    await addFiles(pictures, { 'plain/b.png': [64, 64] })
    await expect(fill(new LatentCache({ vae }), group)).rejects.toThrow(
      /b\.png: the picture is now 64x64 but was 100x70/,
    )
    await addFiles(pictures, { 'plain/b.png': 'text' })
    await expect(fill(new LatentCache({ vae }), group)).rejects.toThrow(DataError)
  })

  it('resizes no more of a picture than its window', async () => {
    const pictures = await makeFolder({ 'plain/a.png': [1_000_000, 1], 'mirrored/a.png': [64, 64] })
    const group = await loadGroup(pictures)
    const thin = group.datasets[0]!.images.find(({ crop }) => crop.source.height === 1)!
    // The whole of it would be 6 GB.
    expect(thin.crop.resized.width * thin.crop.resized.height * 3).toBeGreaterThan(2 ** 31)
    const before = process.resourceUsage().maxRSS
    expect((await fill(new LatentCache({ vae }), group)).last.done).toBe(3)
    expect(process.resourceUsage().maxRSS - before).toBeLessThan(2 ** 20)
  })

  it('uses the latents that pictures come with, read or not before, and never the picture', async () => {
    const pictures = await makeFolder({ 'x/a.png': [40, 24] })
    const toml = `[[datasets]]
resolution = [40, 24]

  [[datasets.subsets]]
  image_dir = ${JSON.stringify(join(pictures, 'x'))}
  flip_aug = true
`
    const configFile = join(await makeFolder({ 'data.toml': toml }), 'data.toml')
    const loaded = await loadDatasetGroup({ configFile }, { seed: 1 })
    const fixture = (name: string): string =>
      fileURLToPath(new URL(`../../fixtures/latents_npz/${name}`, import.meta.url))
    const [dataset] = loaded.datasets
    const withLatents = (file: string, flippedFile: string): DatasetGroup => {
      const latents = { file: fixture(file), flippedFile: fixture(flippedFile) }
      return { ...loaded, datasets: [{ ...dataset!, images: [{ ...dataset!.images[0]!, latents }] }] }
    }
    await rm(join(pictures, 'x/a.png'))
    const group = withLatents('plain.npz', 'plain_flip.npz')
    const size = { width: 5, height: 3, channels: 4 }
    const { latents } = group.datasets[0]!.images[0]!
    const both = await Promise.all([false, true].map((flip) => readLatentFile(latents!, flip, size)))
    for (const cache of [new LatentCache({ vae }), await withStore(await makeFolder())]) {
      const unfilled = await latentsOf(cache, group)
      expect((await fill(cache, group)).last).toMatchObject({ done: 2, total: 2, reused: 2 })
      for (const found of [...unfilled, ...(await latentsOf(cache, group))])
        expect(both.map(({ values }) => values)).toContainEqual(found)
    }
    await expect(fill(new LatentCache({ vae }), withLatents('plain.npz', 'infinite.npz'))).rejects.toThrow(/not finite/)
  })

  it('leaves no buffer behind', async () => {
    const { group } = await makeGroup()
    const folder = await makeFolder()
    const before = memory().liveBuffers
    for (const cache of [new LatentCache({ vae }), await withStore(folder)]) {
      await fill(cache, group)
      for await (const { toTensor } of cache.batches(epochBatches(group, 1))) {
        const latents = toTensor()
        await latents.read()
        latents.dispose()
        break
      }
      cache.clear()
    }
    expect(memory().liveBuffers).toBe(before)
  })
})
