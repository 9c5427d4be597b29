import { readFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { parseDatasetConfig } from '../../lib/config/datasetConfig.ts'
import { bucketInfo, tagFrequency } from '../../lib/data/bookkeeping.ts'
import type { Dataset } from '../../lib/data/dataset.ts'
import { type DatasetGroup, loadDatasetGroup } from '../../lib/data/datasetGroup.ts'
import { datasetConfigFromFolders } from '../../lib/data/repeatFolders.ts'
import { ConfigError } from '../../lib/util/errors.ts'
import {
  type DatasetFixture,
  loadOracle,
  type OracleDataset,
  oracleFolder,
  turnsUpright,
} from '../support/dataOracle.ts'
import { makeFolder } from '../support/pictures.ts'

const { configs, folders } = loadOracle<DatasetFixture>('datasets')
/** Of which we make something else: extensions count in any letter case, and limits that have no effect are refused. */
const different = ['names', 'noUpscaleLimits']
const elsewhere = (name: string): boolean => name.startsWith('fineTuning') || name === 'bothKinds'
const folderConfigs = Object.keys(configs).filter((name) => !elsewhere(name) && !different.includes(name))

/** The configuration with paths that do not depend on the working directory. */
async function load(name: string): Promise<DatasetGroup> {
  const text = await readFile(join(oracleFolder, 'configs', `${name}.toml`), 'utf8')
  const config = await parseDatasetConfig(text.replaceAll('"pictures/', `"${oracleFolder}pictures/`), 'toml')
  return loadDatasetGroup({ config }, { seed: 1, priorLossWeight: 0.5, cacheLatents: name === 'offResized' })
}

/** A data set in the form of the fixture. */
function describeDataset(dataset: Dataset): unknown {
  const { batchCount, trainImageCount, regImageCount, subsets, buckets } = dataset
  const relative = (path: string): string => path.slice(oracleFolder.length)
  return {
    batchCount,
    trainImageCount,
    regImageCount,
    subsets: subsets.map(({ config, images }) => ({
      imageDir: relative(config.imageDir ?? ''),
      imageCount: images.length,
    })),
    bucketCounts: buckets.map(({ size: { width, height }, entries }) => [width, height, entries.length]),
    buckets: bucketInfo(dataset)?.buckets,
    tagFrequency: tagFrequency(dataset),
    images: dataset.images.map(({ path, crop, caption, repeats, lossWeight }) => ({
      path: relative(path),
      size: [crop.source.width, crop.source.height],
      bucket: [crop.target.width, crop.target.height],
      resized: [crop.resized.width, crop.resized.height],
      crop: [crop.left, crop.top],
      caption,
      repeats,
      isReg: lossWeight === 0.5,
    })),
  }
}

function expectedDataset(expected: OracleDataset): unknown {
  const { batchCount, trainImageCount, regImageCount, subsets, bucketCounts, tagFrequency, images } = expected
  return {
    batchCount,
    trainImageCount,
    regImageCount,
    subsets,
    bucketCounts,
    buckets: expected.bucketInfo?.buckets,
    tagFrequency,
    images: images.map(({ key: _, ...image }) => image),
  }
}

describe('data sets against sd-scripts', () => {
  it.each(folderConfigs)('have the same pictures, captions, buckets, crops, repeats and batches: %s', async (name) => {
    const reference = configs[name]!
    if ('error' in reference) {
      await expect(load(name)).rejects.toThrow(ConfigError)
      return
    }
    const group = await load(name)
    const expected = (turnsUpright ? reference.upright : undefined) ?? reference
    expect(group.batchesPerEpoch).toBe(expected.batchCount)
    expect(group.trainImageCount).toBe(expected.trainImageCount)
    expect(group.regImageCount).toBe(expected.regImageCount)
    expect(group.datasets).toHaveLength(expected.datasets.length)
    for (const [at, dataset] of group.datasets.entries()) {
      const wanted = expected.datasets[at]!
      // The reference keeps byte order marks in captions.
      const text = JSON.stringify(expectedDataset(wanted)).replaceAll('\ufeff', '')
      expect(describeDataset(dataset)).toEqual(JSON.parse(text))
      const info = bucketInfo(dataset)
      expect(info === null).toBe(wanted.bucketInfo === null)
      if (info !== null) expect(info.mean_img_ar_error).toBeCloseTo(wanted.bucketInfo!.mean_img_ar_error, 12)
    }
  })

  it.each(folders)('read the folder name "$folder" alike', async ({ folder, subset }) => {
    const trainDataDir = await makeFolder({ [`${folder}/a.png`]: [8, 8], '1_other/a.png': [8, 8] })
    const { config } = await datasetConfigFromFolders(
      { trainDataDir },
      { fallbacks: { resolution: [64, 64] }, sizeMultiple: 8 },
    )
    const found = config.datasets[0]!.subsets.find(({ imageDir }) => basename(imageDir ?? '') === folder)
    if (subset === null) expect(found).toBeUndefined()
    else expect(found).toMatchObject(subset)
  })
})
