import { copyFile, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { parseDatasetConfig, resolveDatasetConfig } from '../../lib/config/datasetConfig.ts'
import type { FineTuningDatasetTable, FineTuningTable } from '../../lib/config/datasetFile.ts'
import { bucketInfo, datasetMetadata, tagFrequency } from '../../lib/data/bookkeeping.ts'
import type { Dataset } from '../../lib/data/dataset.ts'
import { type DatasetGroup, type LoadDatasetOptions, loadDatasetGroup } from '../../lib/data/datasetGroup.ts'
import { writeLatentFile } from '../../lib/data/latentFiles.ts'
import { ConfigError, DataError } from '../../lib/util/errors.ts'
import { loadFixture } from '../support/fixtureCases.ts'
import { type FileContent, makeFolder } from '../support/pictures.ts'

const oracleFolder = fileURLToPath(new URL('../fixtures/data_oracle/', import.meta.url))
const workingFolder = process.cwd()

type Pair = readonly [number, number]
interface OracleGroup {
  readonly batchCount: number
  readonly trainImageCount: number
  readonly datasets: readonly {
    readonly bucketInfo: object
    readonly tagFrequency: Readonly<Record<string, object>>
    readonly images: readonly {
      readonly key: string
      readonly path: string
      readonly size: Pair
      readonly bucket: Pair
      readonly resized: Pair
      readonly crop: Pair
      readonly caption: string
      readonly repeats: number
      readonly latents?: Pair
    }[]
  }[]
}
const { configs } = loadFixture<{ readonly configs: Readonly<Record<string, OracleGroup>> }>(
  'data_oracle/datasets.json',
)

/** Loads a configuration of the fixture with its own folder as working folder: its keys are relative to that. */
async function loadOracle(name: string): Promise<DatasetGroup> {
  const text = await readFile(join(oracleFolder, 'configs', `${name}.toml`), 'utf8')
  const config = await parseDatasetConfig(text, 'toml')
  return loadDatasetGroup({ config }, { seed: 1, allowOutside: true })
}

function imagesOf({ images }: Dataset): unknown[] {
  return images.map(({ key, path, crop: { source, target, resized, left, top }, caption, repeats, latents }) => ({
    key,
    path,
    size: [source.width, source.height],
    bucket: [target.width, target.height],
    resized: [resized.width, resized.height],
    crop: [left, top],
    caption,
    repeats,
    isReg: false,
    ...(latents && { latents: [latents.file, latents.flippedFile] }),
  }))
}

describe('metadata against sd-scripts', () => {
  beforeEach(() => process.chdir(oracleFolder))
  afterEach(() => process.chdir(workingFolder))

  it.each(['fineTuning', 'fineTuningLatents', 'bothKinds'])(
    'give the same pictures, buckets and batches: %s',
    async (name) => {
      const group = await loadOracle(name)
      const expected = configs[name]!
      expect([group.batchesPerEpoch, group.trainImageCount]).toEqual([expected.batchCount, expected.trainImageCount])
      group.datasets.forEach((dataset, at) => {
        const reference = expected.datasets[at]!
        expect(imagesOf(dataset)).toEqual(reference.images)
        expect(bucketInfo(dataset)).toEqual(reference.bucketInfo)
      })
    },
  )

  it('count the tags of every entry, those without a caption too', async () => {
    const [dataset] = (await loadOracle('fineTuning')).datasets
    // The reference leaves tags out that stand without a caption: here those of "lossy".
    const expected = { ...configs.fineTuning!.datasets[0]!.tagFrequency['plain.json'], cat: 1, striped: 2 }
    expect(tagFrequency(dataset!)).toEqual({ 'plain.json': expected })
  })

  it('keep the aspect ratio of pictures whose latents are not used, where the reference squashes them', async () => {
    const [dataset] = (await loadOracle('fineTuningResolutions')).datasets
    const { source, resized, target, top } = dataset!.images[0]!.crop
    expect([source, resized, target, top]).toEqual([
      { width: 97, height: 61 },
      { width: 102, height: 64 },
      { width: 96, height: 64 },
      0,
    ])
  })
})

type Entries = Readonly<Record<string, object>>

interface Made {
  readonly folder: string
  readonly metadata: string
}

async function make(entries: Entries, files: Readonly<Record<string, FileContent>> = {}): Promise<Made> {
  const folder = await makeFolder({ ...files, 'meta.json': JSON.stringify(entries) })
  return { folder, metadata: join(folder, 'meta.json') }
}

const smallBuckets = { resolution: 64, enable_bucket: true, min_bucket_reso: 64, max_bucket_reso: 64 }

async function load(
  subsets: readonly FineTuningTable[],
  dataset: Omit<FineTuningDatasetTable, 'subsets'> = smallBuckets,
  options: Partial<LoadDatasetOptions> = {},
): Promise<DatasetGroup> {
  return loadDatasetGroup(
    { config: await resolveDatasetConfig({ datasets: [{ ...dataset, subsets }] }) },
    { seed: 1, ...options },
  )
}

/** Latents of 64x64 pixels. */
async function addLatents(folder: string, ...names: string[]): Promise<void> {
  const latent = { values: new Float32Array(256), shape: [8, 8, 4] } as const
  for (const name of names) await writeLatentFile(join(folder, name), latent)
}

const sized = { caption: 'x', train_resolution: [64, 64] }

describe('captions of metadata', () => {
  it('join captions and tags, and tell what has neither', async () => {
    const pictures = Object.fromEntries(['a', 'b', 'c', 'd'].map((name) => [`${name}.png`, [64, 64] as const]))
    const { folder, metadata } = await make(
      { a: { caption: 'one\ntwo', tags: 'x, y' }, b: { tags: 'x' }, c: { caption: '', tags: 'x' }, d: {} },
      pictures,
    )
    const captions = async (options: object): Promise<string[]> =>
      (await load([{ metadata_file: metadata, image_dir: folder, ...options }])).datasets[0]!.images.map(
        ({ caption }) => caption,
      )
    expect(await captions({})).toEqual(['one\ntwo, x, y', 'x', ', x', ''])
    expect(await captions({ caption_separator: ';' })).toEqual(['one\ntwo;x, y', 'x', ';x', ''])
    expect(await captions({ enable_wildcard: true })).toEqual(['one, x, y\ntwo, x, y', 'x', ', x', ''])
    const group = await load([{ metadata_file: metadata, image_dir: folder }])
    expect(group.missingCaptions).toEqual([join(folder, 'd.png')])
    expect(group.warnings.join()).toContain('1 of 4 entries have neither caption nor tags')
  })
})

describe('the files of keys', () => {
  it('are all listed when they are missing', async () => {
    const keys = Array.from({ length: 30 }, (_, i) => `lost${i}`)
    const { folder, metadata } = await make(Object.fromEntries(keys.map((key) => [key, {}])))
    const error = await load([{ metadata_file: metadata, image_dir: folder }]).catch((reason: unknown) => reason)
    expect(error).toBeInstanceOf(DataError)
    const { message } = error as DataError
    expect(message).toContain(`there is no picture for the key "lost19", neither as a path nor in ${folder}`)
    expect(message.split('\n').slice(-2)).toEqual(['and 10 more', '(30 problems in the training data)'])
  })

  it('must be paths without image_dir', async () => {
    const { folder, metadata } = await make({ a: {} }, { 'a.png': [64, 64] })
    await expect(load([{ metadata_file: metadata }])).rejects.toThrow('without image_dir keys must be paths')
    const full = await make({ [join(folder, 'a.png')]: { caption: 'by path' } })
    const group = await load([{ metadata_file: full.metadata }])
    expect(group.datasets[0]!.images[0]).toMatchObject({ path: join(folder, 'a.png'), caption: 'by path' })
  })

  it('do not lead out of image_dir unless that is allowed', async () => {
    const secret = await makeFolder({ 'secret.png': [64, 64], 'in/.keep': '' })
    const entries = { '../secret': {}, [join(secret, 'secret.png')]: {} }
    const { metadata } = await make(entries)
    const subsets = [{ metadata_file: metadata, image_dir: join(secret, 'in') }]
    const error = await load(subsets).catch((reason: unknown) => String(reason))
    expect(error).toMatch(/the key "\.\.\/secret" leads to .*in\/\.\.\/secret\.png, out of image_dir/)
    expect(error).toContain('(2 problems in the training data)')
    const group = await load(subsets, undefined, { allowOutside: true })
    expect(group.datasets[0]!.images).toHaveLength(2)
    expect(group.warnings.join('\n')).toContain('several keys for one picture')
  })

  it('prefer a picture of image_dir to a file of the same name in the working folder', async () => {
    const { folder, metadata } = await make({ 'package.json': {} }, { 'package.json.png': [64, 64] })
    const group = await load([{ metadata_file: metadata, image_dir: folder }])
    expect(group.datasets[0]!.images[0]!.path).toBe(join(folder, 'package.json.png'))
  })

  it('are the first of several pictures of one name, with a warning', async () => {
    const { folder, metadata } = await make({ a: {} }, { 'a.png': [64, 64], 'a.jpg': [64, 64] })
    const group = await load([{ metadata_file: metadata, image_dir: folder }])
    expect(group.datasets[0]!.images[0]!.path).toBe(join(folder, 'a.jpg'))
    expect(group.warnings.join('\n')).toMatch(/keys that fit several pictures.*"a" \(.*a\.jpg, .*a\.png\)/)
  })

  it('shared by two metadata files count once, the later, with a warning', async () => {
    const { folder, metadata } = await make({ a: { caption: 'first' } }, { 'a.png': [64, 64] })
    const second = await make({ a: { caption: 'second' } })
    const group = await load([metadata, second.metadata].map((metadata_file) => ({ metadata_file, image_dir: folder })))
    expect(group.datasets[0]!.images.map(({ caption }) => caption)).toEqual(['second'])
    expect(group.warnings.join('\n')).toContain('pictures that two subsets name, of which the later counts: a')
  })
})

describe('latents in files', () => {
  const pictures = { 'a.png': [80, 64], 'b.png': [64, 64] } as const

  it('are used when every picture has them, without a look at the pictures', async () => {
    const { folder, metadata } = await make({ a: sized, b: sized }, { 'a.png': 'no picture' })
    await addLatents(folder, 'a.npz', 'b.npz')
    const group = await load([{ metadata_file: metadata, image_dir: folder }], {})
    const [a, b] = group.datasets[0]!.images
    expect(a).toMatchObject({ path: join(folder, 'a.png'), latents: { file: join(folder, 'a.npz') } })
    expect(b).toMatchObject({ path: join(folder, 'b.npz'), crop: { target: { width: 64, height: 64 } } })
    expect(group.datasets[0]!.config.enableBucket).toBe(true)
    expect(group.warnings.join()).toContain('so enable_bucket is set')
  })

  it('are not used when one picture lacks them, or a mirrored one, or a size', async () => {
    const { folder, metadata } = await make({ a: sized, b: sized }, pictures)
    const subset = { metadata_file: metadata, image_dir: folder }
    await addLatents(folder, 'a.npz')
    const some = await load([subset])
    expect(some.datasets[0]!.images.map(({ latents }) => latents)).toEqual([undefined, undefined])
    expect(some.warnings.join('\n')).toContain(
      'latents in files are not used, since 1 entries lack something: "b" (latents)',
    )
    await addLatents(folder, 'b.npz', 'b_flip.npz')
    const flipped = await load([{ ...subset, flip_aug: true }])
    expect(flipped.warnings.join('\n')).toContain('"a" (mirrored latents). Mirrored latents are needed for flip_aug.')
    const unsized = await make({ a: sized, b: { caption: 'x' } })
    const group = await load([{ ...subset, metadata_file: unsized.metadata }])
    expect(group.warnings.join('\n')).toContain('"b" (train_resolution)')
    expect(group.datasets[0]!.images[0]!.crop.source).toEqual({ width: 80, height: 64 })
  })

  it('are not used by a dataset of which one subset changes its pictures', async () => {
    const { folder, metadata } = await make({ a: sized }, pictures)
    const second = await make({ b: sized })
    await addLatents(folder, 'a.npz', 'b.npz')
    const group = await load([
      { metadata_file: metadata, image_dir: folder },
      { metadata_file: second.metadata, image_dir: folder, color_aug: true },
    ])
    expect(group.datasets[0]!.images.some(({ latents }) => latents !== undefined)).toBe(false)
    expect(group.warnings.join('\n')).toContain('color_aug or random_crop')
    const all = await load([{ metadata_file: metadata, image_dir: folder, random_crop: true }])
    expect(all.warnings.join('\n')).toContain('so latents in files are not used in this dataset')
  })

  it('are not used without the alpha masks that a subset asks for', async () => {
    const { folder, metadata } = await make({ a: { caption: 'x', train_resolution: [40, 24] } }, { 'a.png': [40, 24] })
    const newer = new URL('../fixtures/latents_npz/newer.npz', import.meta.url)
    await copyFile(newer, join(folder, 'a.npz'))
    const subset = { metadata_file: metadata, image_dir: folder, alpha_mask: true }
    expect((await load([subset], {})).datasets[0]!.images[0]!.latents).toBeDefined()
    await writeLatentFile(join(folder, 'a.npz'), { values: new Float32Array(60), shape: [3, 5, 4] })
    const group = await load([subset], {})
    expect(group.datasets[0]!.images[0]!.latents).toBeUndefined()
    expect(group.warnings.join()).toContain('1 entries lack something: "a" (an alpha mask)')
  })

  it('that cannot be used do not stand in for pictures', async () => {
    const { folder, metadata } = await make({ a: sized, b: sized }, { 'a.png': [64, 64] })
    await addLatents(folder, 'b.npz')
    await expect(load([{ metadata_file: metadata, image_dir: folder }])).rejects.toThrow(
      'there are only latents for the key "b", and they cannot be used',
    )
  })
})

describe('training sizes of metadata', () => {
  it('contradict bucket_no_upscale, and are needed where there is no resolution', async () => {
    const { folder, metadata } = await make({ a: sized }, { 'a.png': [64, 64] })
    const subsets = [{ metadata_file: metadata, image_dir: folder }]
    await expect(load(subsets, { resolution: 64, enable_bucket: true, bucket_no_upscale: true })).rejects.toThrow(
      ConfigError,
    )
    const plain = await make({ a: {} })
    await expect(load([{ metadata_file: plain.metadata, image_dir: folder }], {})).rejects.toThrow(
      'option "resolution" is missing, since not every picture of the metadata has a train_resolution',
    )
  })

  it('say which options of the dataset they take the place of', async () => {
    const { folder, metadata } = await make({ a: sized }, { 'a.png': [64, 64] })
    const subsets = [{ metadata_file: metadata, image_dir: folder }]
    expect((await load(subsets)).warnings).toEqual([
      'datasets[0]: its metadata give training sizes, so these have no effect: resolution, min_bucket_reso, max_bucket_reso',
    ])
    expect((await load(subsets, { enable_bucket: true })).warnings).toEqual([])
  })

  it('must be multiples of the reduction of the VAE', async () => {
    const { folder, metadata } = await make({ a: { train_resolution: [100, 64] } }, { 'a.png': [64, 64] })
    await expect(load([{ metadata_file: metadata, image_dir: folder }], {})).rejects.toThrow(
      'train_resolution of "a" must be divisible by 8, found 100x64',
    )
  })
})

describe('a dataset of metadata', () => {
  it('leaves unreadable pictures out when asked to', async () => {
    const { folder, metadata } = await make({ a: {}, b: {} }, { 'a.png': 'no picture', 'b.png': [64, 64] })
    const subsets = [{ metadata_file: metadata, image_dir: folder }]
    await expect(load(subsets)).rejects.toThrow('not a PNG')
    const group = await load(subsets, undefined, { scan: { onBadImage: 'skip' } })
    expect(group.datasets[0]!.images.map(({ key }) => key)).toEqual(['b'])
    expect(group.warnings.join('\n')).toContain('1 of 2 pictures cannot be read and are left out')
  })

  it('is told about in the metadata of a network', async () => {
    const { folder, metadata } = await make({ a: { caption: 'c', tags: 'x, Y' } }, { 'a.png': [64, 64] })
    const group = await load([{ metadata_file: metadata, image_dir: folder, num_repeats: 3 }])
    const facts = datasetMetadata({ ...group, config: { ...group.config, file: 'data.toml' } })
    expect(facts.ss_num_train_images).toBe('3')
    const [dataset] = JSON.parse(facts.ss_datasets!)
    expect(dataset).toMatchObject({
      is_dreambooth: false,
      num_reg_images: 0,
      tag_frequency: { 'meta.json': { x: 1, y: 1 } },
    })
    expect(dataset.subsets[0]).toMatchObject({ metadata_file: 'meta.json', num_repeats: 3, img_count: 1 })
    expect(dataset.subsets[0]).not.toHaveProperty('is_reg')
  })

  it('whose sizes stand in the metadata has none of its own in those of a network', async () => {
    const { folder, metadata } = await make({ a: sized }, { 'a.png': [64, 64] })
    const group = await load([{ metadata_file: metadata, image_dir: folder }], {})
    const facts = datasetMetadata({ ...group, config: { ...group.config, file: 'data.toml' } })
    expect(JSON.parse(facts.ss_datasets!)[0].resolution).toEqual([null, null])
  })

  it('without a resolution says what is wrong with its file', async () => {
    const { metadata } = await make({ a: { train_resolution: [64.5, 64] } })
    await expect(load([{ metadata_file: metadata }], {})).rejects.toThrow('train_resolution must be')
    await expect(load([{ metadata_file: `${metadata}.gone` }], {})).rejects.toThrow('the metadata cannot be read')
    const empty = await make({})
    await expect(load([{ metadata_file: empty.metadata }], {})).rejects.toThrow('the metadata name no picture')
  })
})
