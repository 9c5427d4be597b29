import { createHash } from 'node:crypto'
import { basename, join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { bucketInfo, datasetMetadata, tagFrequency } from '../../lib/data/bookkeeping.ts'
import { loadDatasetGroup } from '../../lib/data/datasetGroup.ts'
import { addFiles, makeFolder } from '../support/pictures.ts'

describe('datasetMetadata', () => {
  it('keeps folders and tags apart from what every object has', async () => {
    const names = ['constructor', '__proto__', 'toString']
    const root = await makeFolder(
      Object.fromEntries(
        names.flatMap((name) => [
          [`${name}/1.png`, [64, 64] as const],
          [`${name}/1.caption`, `${name}, a`],
        ]),
      ),
    )
    const subsets = names.map((name) => ({ image_dir: join(root, name) }))
    await addFiles(root, { 'data.json': JSON.stringify({ datasets: [{ resolution: 64, subsets }] }) })
    const group = await loadDatasetGroup({ configFile: join(root, 'data.json') }, { seed: 1 })
    const metadata = datasetMetadata(group)
    for (const key of ['ss_tag_frequency', 'ss_dataset_dirs'])
      expect(new Map(Object.entries(JSON.parse(metadata[key]!))).size, key).toBe(3)
    expect(metadata.ss_tag_frequency).toContain('"__proto__": {"__proto__": 1, "a": 1}')
    expect(metadata.ss_tag_frequency).toContain('"constructor": {"constructor": 1, "a": 1}')
    expect(metadata.ss_dataset_dirs).toContain('"toString": {')
  })

  it('describes several datasets of a configuration file as JSON', async () => {
    const root = await makeFolder({
      'a/frogs/1.png': [64, 64],
      'a/frogs/1.caption': 'Frog, green,, frog ',
      'a/frogs/2.png': [128, 64],
      'b/frogs/1.png': [64, 64],
      'reg/1.png': [64, 64],
    })
    const toml = `
[general]
enable_bucket = true
min_bucket_reso = 64
max_bucket_reso = 256
[[datasets]]
resolution = 128
batch_size = 2
  [[datasets.subsets]]
  image_dir = '${root}/a/frogs'
  num_repeats = 3
  class_tokens = 'toad'
  flip_aug = true
  [[datasets.subsets]]
  image_dir = '${root}/reg'
  is_reg = true
[[datasets]]
resolution = [64, 64]
enable_bucket = false
  [[datasets.subsets]]
  image_dir = '${root}/b/frogs'
`
    await addFiles(root, { 'data.toml': toml })
    const group = await loadDatasetGroup({ configFile: join(root, 'data.toml') }, { seed: 1 })
    const metadata = datasetMetadata(group)
    expect(Object.keys(metadata)).toEqual([
      'ss_num_train_images',
      'ss_num_reg_images',
      'ss_num_batches_per_epoch',
      'ss_datasets',
      'ss_tag_frequency',
      'ss_dataset_dirs',
    ])
    expect(metadata).toMatchObject({ ss_num_train_images: '7', ss_num_reg_images: '1' })
    expect(metadata.ss_num_batches_per_epoch).toBe(String(group.batchesPerEpoch))
    const hashed = Object.values(datasetMetadata(group, { hashNames: true })).join('\n')
    const hash = (name: string): string => createHash('sha256').update(name).digest('hex').slice(0, 12)
    expect(hashed).not.toMatch(/frogs?"|green|"reg"/)
    expect(hashed).toContain(`{"${hash('frogs')}": {"n_repeats": 3, "img_count": 2}, "${hash('frogs')} (2)": `)
    expect(hashed).toContain(`"${hash('frog')}": 2`)
    const frogs = { frog: 2, green: 1, toad: 1 }
    expect(JSON.parse(metadata.ss_tag_frequency!)).toEqual({ frogs, reg: {} })
    expect(JSON.parse(metadata.ss_dataset_dirs!)).toEqual({
      frogs: { n_repeats: 3, img_count: 2 },
      'frogs (2)': { n_repeats: 1, img_count: 1 },
    })
    const [first, second] = JSON.parse(metadata.ss_datasets!)
    expect(first).toMatchObject({
      is_dreambooth: true,
      batch_size_per_device: 2,
      num_train_images: 6,
      num_reg_images: 1,
      resolution: [128, 128],
      enable_bucket: true,
      min_bucket_reso: 64,
      max_bucket_reso: 256,
      tag_frequency: { frogs, reg: {} },
    })
    expect(first.subsets).toEqual([
      {
        img_count: 2,
        num_repeats: 3,
        color_aug: false,
        flip_aug: true,
        random_crop: false,
        shuffle_caption: false,
        keep_tokens: 0,
        image_dir: 'frogs',
        class_tokens: 'toad',
        is_reg: false,
      },
      expect.objectContaining({ image_dir: 'reg', class_tokens: null, is_reg: true }),
    ])
    expect(second.bucket_info).toBeNull()
    // 6 training uses and as many of regularization pictures.
    const counts = Object.values(first.bucket_info.buckets as Record<string, { count: number }>).map(
      (bucket) => bucket.count,
    )
    expect(counts.reduce((sum, count) => sum + count, 0)).toBe(12)
  })

  it('describes numbered folders by separate keys', async () => {
    const train = await makeFolder({ '4_sks dog/1.png': [64, 64], '4_sks dog/2.png': [64, 64] })
    const reg = await makeFolder({ '1_dog/1.png': [64, 64] })
    const fallbacks = { resolution: 64, batch_size: 2, shuffle_caption: true, keep_tokens: 1 }
    const group = await loadDatasetGroup({ trainDataDir: train, regDataDir: reg }, { seed: 1, fallbacks })
    expect(datasetMetadata(group, { gradientAccumulationSteps: 4 })).toEqual({
      ss_num_train_images: '8',
      ss_num_reg_images: '1',
      ss_num_batches_per_epoch: '8',
      ss_batch_size_per_device: '2',
      ss_total_batch_size: '8',
      ss_resolution: '(64, 64)',
      ss_color_aug: 'False',
      ss_flip_aug: 'False',
      ss_random_crop: 'False',
      ss_shuffle_caption: 'True',
      ss_enable_bucket: 'False',
      ss_bucket_no_upscale: 'False',
      ss_min_bucket_reso: '256',
      ss_max_bucket_reso: '1024',
      ss_keep_tokens: '1',
      ss_dataset_dirs: '{"4_sks dog": {"n_repeats": 4, "img_count": 2}}',
      ss_reg_dataset_dirs: '{"1_dog": {"n_repeats": 1, "img_count": 1}}',
      ss_tag_frequency: '{"4_sks dog": {"sks dog": 2}, "1_dog": {"dog": 1}}',
      ss_bucket_info: 'null',
    })
  })
})

it('describes several datasets without a file one by one too', async () => {
  const folder = await makeFolder({ '1.png': [64, 64] })
  const subsets = [{ image_dir: folder }]
  const describe = () => ({ datasets: [64, 128].map((resolution) => ({ resolution, batch_size: 2, subsets })) })
  const group = await loadDatasetGroup({ describe }, { seed: 1, cacheLatents: true })
  const resolutions = JSON.parse(datasetMetadata(group).ss_datasets!).map(
    ({ resolution }: { resolution: unknown }) => resolution,
  )
  expect(resolutions).toEqual([
    [64, 64],
    [128, 128],
  ])
})

it('averages the aspect ratio error over pictures, not repeats', async () => {
  const root = await makeFolder({ '3_a/1.png': [64, 64], '1_b/2.png': [192, 128] })
  const fallbacks = { resolution: 128, enable_bucket: true, min_bucket_reso: 64, max_bucket_reso: 128 }
  const [dataset] = (await loadDatasetGroup({ trainDataDir: root }, { seed: 1, fallbacks })).datasets
  // Buckets 64x128, 128x64 and 128x128: 3:2 is 0.5 from both 1:1 and 2:1, and the first in order is 128x64.
  expect(bucketInfo(dataset!)).toEqual({
    buckets: { 0: { resolution: [128, 64], count: 1 }, 1: { resolution: [128, 128], count: 3 } },
    mean_img_ar_error: 0.25,
  })
  expect(Object.keys(tagFrequency(dataset!))).toEqual(['1_b', '3_a'])
  expect(basename(dataset!.images[0]!.path)).toBe('2.png')
})

it('writes the error as a float of Python, where it is nothing too', async () => {
  const root = await makeFolder({ '1_a/1.png': [128, 128] })
  const fallbacks = { resolution: 128, enable_bucket: true, min_bucket_reso: 64, max_bucket_reso: 128 }
  const group = await loadDatasetGroup({ trainDataDir: root }, { seed: 1, fallbacks })
  expect(datasetMetadata(group).ss_bucket_info).toBe(
    '{"buckets": {"0": {"resolution": [128, 128], "count": 1}}, "mean_img_ar_error": 0.0}',
  )
})
