import { basename, join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { resolveDatasetConfig } from '../../lib/config/datasetConfig.ts'
import type { DreamBoothDatasetTable, DreamBoothTable } from '../../lib/config/datasetFile.ts'
import { type DatasetGroup, type LoadDatasetOptions, loadDatasetGroup } from '../../lib/data/datasetGroup.ts'
import { describeBuckets } from '../../lib/data/describeBuckets.ts'
import { describeDatasetGroup } from '../../lib/data/report.ts'
import { ConfigError, DataError } from '../../lib/util/errors.ts'
import { addFiles, encodePicture, makeFolder } from '../support/pictures.ts'

/** Loads one dataset whose subsets are tables. */
async function load(
  dataset: Omit<DreamBoothDatasetTable, 'subsets'>,
  subsets: readonly DreamBoothTable[],
  options: Partial<LoadDatasetOptions> = {},
): Promise<DatasetGroup> {
  const config = await resolveDatasetConfig({ datasets: [{ resolution: 64, ...dataset, subsets }] })
  return loadDatasetGroup({ config }, { seed: 1, ...options })
}

async function failure(run: Promise<unknown>): Promise<DataError> {
  const error = await run.then(
    () => undefined,
    (reason: unknown) => reason,
  )
  expect(error).toBeInstanceOf(DataError)
  return error as DataError
}

const smallBuckets = { resolution: 128, enable_bucket: true, min_bucket_reso: 64 }
const buckets = { ...smallBuckets, max_bucket_reso: 256 }

describe('a loaded dataset', () => {
  it('knows every picture with caption, bucket, crop and weight', async () => {
    const folder = await makeFolder({
      'a.png': [192, 108],
      'a.caption': 'a frog\n',
      'b.jpg': [108, 192],
      'c.webp': [128, 128],
      'd.bmp': [200, 200],
    })
    const group = await load(buckets, [{ image_dir: folder, class_tokens: 'frog', num_repeats: 2 }])
    const [dataset] = group.datasets
    expect(
      dataset!.images.map((image) => [basename(image.key), image.caption, image.repeats, image.lossWeight]),
    ).toEqual([
      ['a.png', 'a frog', 2, 1],
      ['b.jpg', 'frog', 2, 1],
      ['c.webp', 'frog', 2, 1],
      ['d.bmp', 'frog', 2, 1],
    ])
    expect(dataset!.buckets.flatMap((bucket) => bucket.entries).sort()).toEqual([0, 0, 1, 1, 2, 2, 3, 3])
    for (const image of dataset!.images) {
      const { crop } = image
      expect(crop.target).toEqual(dataset!.buckets[image.bucket]!.size)
      expect(crop.left + crop.target.width).toBeLessThanOrEqual(crop.resized.width)
      expect(crop.top + crop.target.height).toBeLessThanOrEqual(crop.resized.height)
    }
    expect(group.trainImageCount).toBe(8)
    expect(group.warnings).toEqual([
      expect.stringMatching(
        /3 of 4 pictures have no caption file and use class_tokens "frog": .*b\.jpg, .*c\.webp, .*d\.bmp$/,
      ),
    ])
  })

  it('keeps the smaller last batch of every bucket', async () => {
    const wide = Object.fromEntries(Array.from({ length: 10 }, (_, i) => [`wide${i}.png`, [256, 64] as const]))
    const tall = Object.fromEntries(Array.from({ length: 3 }, (_, i) => [`tall${i}.png`, [64, 256] as const]))
    const group = await load({ ...buckets, batch_size: 4 }, [{ image_dir: await makeFolder({ ...wide, ...tall }) }])
    expect(group.datasets[0]!.buckets.map(({ size, entries }) => [size, entries.length])).toEqual([
      [{ width: 64, height: 256 }, 3],
      [{ width: 256, height: 64 }, 10],
    ])
    expect(group.batchesPerEpoch).toBe(4)
  })

  it('makes buckets of the pictures themselves with bucket_no_upscale', async () => {
    const folder = await makeFolder({ 'a.png': [100, 70], 'b.png': [640, 640] })
    const group = await load({ ...smallBuckets, bucket_no_upscale: true }, [{ image_dir: folder }])
    expect(group.datasets[0]!.images.map((image) => [image.crop.resized, image.crop.target])).toEqual([
      [
        { width: 100, height: 70 },
        { width: 64, height: 64 },
      ],
      [
        { width: 128, height: 128 },
        { width: 128, height: 128 },
      ],
    ])
  })

  it('balances regularization pictures, each bound to its own subset and weighted', async () => {
    const train = await makeFolder(
      Object.fromEntries(Array.from({ length: 5 }, (_, i) => [`t${i}.png`, [64, 64] as const])),
    )
    const reg1 = await makeFolder({ 'r0.png': [64, 64], 'r1.png': [64, 64] })
    const reg2 = await makeFolder({ 'r2.png': [64, 64] })
    const subsets = [
      { image_dir: reg1, is_reg: true, flip_aug: true },
      { image_dir: train, num_repeats: 4 },
      { image_dir: reg2, is_reg: true },
    ]
    const group = await load({}, subsets, { priorLossWeight: 0.5 })
    expect([group.trainImageCount, group.regImageCount]).toEqual([20, 3])
    const reg = group.datasets[0]!.images.filter((image) => image.subset.isReg)
    expect(reg.map((image) => [basename(image.path), image.repeats, image.lossWeight, image.subset.flipAug])).toEqual([
      ['r0.png', 7, 0.5, true],
      ['r1.png', 7, 0.5, true],
      ['r2.png', 6, 0.5, false],
    ])
    expect(
      group.datasets[0]!.images.filter((image) => !image.subset.isReg).every((image) => image.lossWeight === 1),
    ).toBe(true)
  })

  it('leaves surplus regularization pictures out and says so', async () => {
    const train = await makeFolder({ 't.png': [64, 64] })
    const reg = await makeFolder({ 'r0.png': [64, 64], 'r1.png': [64, 64] })
    const group = await load({}, [{ image_dir: train }, { image_dir: reg, is_reg: true }])
    expect(group.datasets[0]!.images.map((image) => basename(image.path))).toEqual(['t.png', 'r0.png'])
    expect(group.warnings.join()).toContain('2 regularization pictures for 1 training pictures')
  })

  it('leaves out empty, doubled and unrepeated subsets with a warning each', async () => {
    const folder = await makeFolder({ 'a.png': [64, 64], 'a.caption': 'a' })
    const empty = await makeFolder()
    const subsets = [
      { image_dir: folder },
      { image_dir: folder, num_repeats: 9 },
      { image_dir: empty },
      { image_dir: join(folder, 'x'), num_repeats: 0 },
    ]
    const group = await load({}, subsets)
    expect(group.trainImageCount).toBe(1)
    expect(group.warnings).toEqual([
      expect.stringContaining('named twice in datasets[0]'),
      expect.stringContaining(`${empty}: there are no pictures in this folder`),
      expect.stringContaining('num_repeats is 0'),
    ])
  })

  it('loads the same folder at two resolutions', async () => {
    const folder = await makeFolder({ 'a.png': [64, 64] })
    const raw = { datasets: [64, 128].map((resolution) => ({ resolution, subsets: [{ image_dir: folder }] })) }
    const group = await loadDatasetGroup({ config: await resolveDatasetConfig(raw) }, { seed: 1, cacheLatents: true })
    expect(group.datasets.map((dataset) => dataset.images[0]!.crop.target.width)).toEqual([64, 128])
    expect(group.batchesPerEpoch).toBe(2)
  })

  it('comes from a TOML file or from numbered folders', async () => {
    const parent = await makeFolder({ '3_sks frog/a.png': [64, 64] })
    const fromFolders = await loadDatasetGroup({ trainDataDir: parent }, { seed: 1, fallbacks: { resolution: 64 } })
    expect(fromFolders.datasets[0]!.images[0]).toMatchObject({ caption: 'sks frog', repeats: 3 })
    await addFiles(parent, {
      'data.toml': `[[datasets]]\nresolution = 64\n[[datasets.subsets]]\nimage_dir = '${parent}/3_sks frog'\n`,
    })
    const fromToml = await loadDatasetGroup({ configFile: join(parent, 'data.toml') }, { seed: 1 })
    expect(fromToml.datasets[0]!.images[0]).toMatchObject({ caption: '', repeats: 1 })
  })

  it('is described line by line', async () => {
    const folder = await makeFolder({ 'a.png': [128, 128], 'b.png': [128, 128] })
    const lines = describeDatasetGroup(await load(buckets, [{ image_dir: folder, num_repeats: 3 }]))
    expect(lines).toContain('  bucket 0: 128x128, 6 pictures with repeats, 2 files')
    expect(lines).toContain(`    image_dir: ${folder} ([[datasets.subsets]])`)
    expect(lines).toContain('  batch_size: 1 (default)')
    expect(lines).toContain('  mean aspect ratio error: 0.0000')
    expect(lines).toContain('    caption_separator: "," (default)')
    expect(lines).toContain('2 pictures without a caption of their own')
    for (const option of [
      'caption_dropout_rate',
      'token_warmup_step',
      'color_aug',
      'random_crop',
      'face_crop_aug_range',
    ])
      expect(lines.some((line) => line.startsWith(`    ${option}: `))).toBe(true)
    expect(lines.at(-1)).toBe('6 training pictures with repeats, no regularization pictures, 6 batches per epoch')
  })
})

describe('describeBuckets', () => {
  it('tells for each bucket how many pictures are enlarged and how much of them is cut off', async () => {
    const folder = await makeFolder({ 'a.png': [128, 128], 'b.png': [64, 64], 'c.png': [160, 128] })
    const { datasets } = await load({ ...smallBuckets, max_bucket_reso: 128 }, [{ image_dir: folder, num_repeats: 2 }])
    const [square] = describeBuckets(datasets[0]!).filter(({ size }) => size.width === size.height)
    expect(square).toEqual({
      size: { width: 128, height: 128 },
      count: 6,
      images: 3,
      upscaled: 1,
      croppedShare: expect.closeTo((1 - 128 / 160) / 3, 6),
    })
  })
})

describe('pictures that occur twice', () => {
  it('are listed in one warning, by the same path and by another', async () => {
    const folder = await makeFolder({ 'in/a.png': [64, 64], 'in/b.png': [64, 64] })
    const group = await load({}, [{ image_dir: join(folder, 'in') }, { image_dir: `${folder}/in/../in` }])
    expect(group.datasets[0]!.images).toHaveLength(4)
    expect(group.warnings.filter((warning) => warning.includes('used twice'))).toEqual([
      expect.stringMatching(/a\.png and .*in\/\.\.\/in\/a\.png, .*b\.png/),
    ])
  })
})

it('tells which pictures have no face to be cropped around', async () => {
  const folder = await makeFolder({
    'a_0020_0020_0010_0010.png': [80, 80],
    'b.png': [64, 64],
    'c_0_0_9_9.png': [64, 64],
  })
  const subsets = [{ image_dir: folder, face_crop_aug_range: [1, 3], class_tokens: '' } as const]
  const remarks = async (cacheLatents: boolean) =>
    (await load({}, subsets, { cacheLatents })).warnings.filter((warning) => warning.includes('face_crop'))
  expect(await remarks(false)).toEqual([
    `${folder}: face_crop_aug_range does nothing for 2 of 3 pictures, whose names tell no face (..._x_y_width_height): ${folder}/b.png, ${folder}/c_0_0_9_9.png`,
  ])
  expect(await remarks(true)).toEqual([])
})

describe('bad data', () => {
  it('reports every bad picture and caption in one error', async () => {
    const png = await encodePicture('.png', 64, 64)
    const folder = await makeFolder({
      'a.png': png.subarray(0, png.length - 400),
      'b.png': 'just text',
      'c.png': '',
      'd.png': [64, 64],
      'd.caption': Buffer.from('na\xefve', 'latin1'),
      'e.png': [64, 64],
      'e.caption': '',
      'f.png': [64, 64],
    })
    const error = await failure(load({}, [{ image_dir: folder }, { image_dir: join(folder, 'none') }]))
    const lines = error.message.split('\n')
    expect(lines).toEqual([
      expect.stringMatching(/a\.png: the PNG image is damaged or cut short/),
      expect.stringMatching(/b\.png: not a PNG, JPEG, WebP, BMP or AVIF image/),
      expect.stringMatching(/c\.png: the file is empty \(0 bytes\)/),
      expect.stringMatching(/d\.caption: the caption is not UTF-8/),
      expect.stringMatching(/e\.caption: the caption file is empty/),
      expect.stringMatching(/none: the folder does not exist/),
      '(6 problems in the training data)',
    ])
    expect(error.path).toBe(`${folder}/a.png`)
    expect((error.cause as AggregateError).errors).toHaveLength(6)
  })

  it('lists at most twenty problems and counts the rest', async () => {
    const folder = await makeFolder(
      Object.fromEntries(Array.from({ length: 25 }, (_, i) => [`x${10 + i}.png`, 'text'])),
    )
    const lines = (await failure(load({}, [{ image_dir: folder }]))).message.split('\n')
    expect(lines).toHaveLength(22)
    expect(lines.slice(-2)).toEqual(['and 5 more', '(25 problems in the training data)'])
  })

  it('reports a missing folder, and a folder without pictures with the likely reason', async () => {
    const folder = await makeFolder({ 'sub/a.png': [64, 64] })
    expect((await failure(load({}, [{ image_dir: join(folder, 'none') }]))).message).toContain(
      'none: the folder does not exist',
    )
    const nested = await failure(load({}, [{ image_dir: folder }]))
    expect(nested.message).toBe(
      `${folder}: there are no pictures in this folder. Its subfolder "sub" has 1: pictures must be directly inside the folder given.`,
    )
    const hidden = await failure(load({}, [{ image_dir: await makeFolder({ '._a.jpg': [8, 8] }) }]))
    expect(hidden.message).toContain('"._a.jpg" is passed over: names must not begin with a dot.')
    expect((await failure(load({}, [{ image_dir: await makeFolder() }]))).message).toContain(
      'Known extensions are .png',
    )
  })

  it('says why every subset is left out', async () => {
    const folder = await makeFolder({ 'a.png': [64, 64] })
    const error = await failure(load({}, [{ image_dir: folder, num_repeats: 0 }]))
    expect(error.message).toBe(`${folder}: num_repeats is 0, so the subset is left out`)
  })

  it('refuses more uses of pictures than an epoch can hold, of either kind', async () => {
    const folder = await makeFolder({ 'a.png': [64, 64] })
    const often = { num_repeats: 2 ** 26 }
    const problem =
      'datasets[0]: its pictures number 67108864 with repeats, at most 33554432 fit into an epoch: lower num_repeats'
    expect((await failure(load({}, [{ image_dir: folder, ...often }]))).message).toBe(problem)
    const reg = await makeFolder({ 'a.png': [64, 64] })
    const error = await failure(load({}, [{ image_dir: folder }, { image_dir: reg, is_reg: true, ...often }]))
    expect(error.message).toContain('number 67108865 with repeats')
  })

  it('refuses regularization pictures alone', async () => {
    const folder = await makeFolder({ 'a.png': [64, 64] })
    const error = await failure(load({}, [{ image_dir: folder, is_reg: true }]))
    expect(error.message).toContain('there is nothing to train on')
  })

  it('refuses other sizes without buckets unless latents are cached', async () => {
    const subsets = [{ image_dir: await makeFolder({ 'a.png': [80, 64], 'b.png': [32, 32], 'c.png': [64, 64] }) }]
    const error = await failure(load({}, subsets))
    expect(error.message).toMatch(
      /a\.png: the picture is 80x64, not the resolution, 64x64.*Set enable_bucket, or cache latents/,
    )
    expect(error.message).toContain('b.png: the picture is 32x32')
    const group = await load({}, subsets, { cacheLatents: true })
    expect(group.datasets[0]!.images.map((image) => image.crop.left)).toEqual([8, 0, 0])
  })

  it('refuses pictures too narrow for bucket_no_upscale', async () => {
    const folder = await makeFolder({ 'thin.png': [30, 90], 'good.png': [64, 64] })
    const error = await failure(load({ ...smallBuckets, bucket_no_upscale: true }, [{ image_dir: folder }]))
    expect(error.message).toMatch(/thin\.png: the picture \(30x90\) is too small or too narrow for bucket_no_upscale/)
  })

  it('passes configuration errors on', async () => {
    const folder = await makeFolder({ 'data.toml': '[[datasets]]\nresolutoin = 64\n' })
    const error = await loadDatasetGroup({ configFile: join(folder, 'data.toml') }, { seed: 1 }).catch(
      (reason: unknown) => reason,
    )
    expect(error).toBeInstanceOf(ConfigError)
    expect((error as ConfigError).message).toContain(
      'data.toml:2:1: unknown option "resolutoin" in datasets[0]. Did you mean "resolution"?',
    )
  })
})
