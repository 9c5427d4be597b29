import type { ValueOrigin } from '../config/datasetConfig.ts'
import type { DatasetOptionName } from '../config/datasetOptions.ts'
import { bucketInfo } from './bookkeeping.ts'
import type { Dataset } from './dataset.ts'
import type { DatasetGroup } from './datasetGroup.ts'

/** The start-up report: what was found, how it will be used, and where each setting came from, as plain lines. */
export function describeDatasetGroup(group: DatasetGroup): string[] {
  const lines = group.datasets.flatMap(describeDataset)
  const reg =
    group.regImageCount === 0 ? 'no regularization pictures' : `${group.regImageCount} regularization pictures`
  lines.push(
    `${group.trainImageCount} training pictures with repeats, ${reg}, ${group.batchesPerEpoch} batches per epoch`,
  )
  return lines
}

type Origins = Readonly<Partial<Record<DatasetOptionName, ValueOrigin>>>

const originsInWords: Readonly<Record<ValueOrigin, string>> = {
  subset: '[[datasets.subsets]]',
  dataset: '[[datasets]]',
  general: '[general]',
  'command line': 'command line',
  default: 'default',
}

function settings(indent: string, values: Partial<Record<DatasetOptionName, unknown>>, origins: Origins): string[] {
  return Object.entries(values).map(([name, value]) => {
    const origin = origins[name as DatasetOptionName]
    return `${indent}${name}: ${value}${origin === undefined ? '' : ` (${originsInWords[origin]})`}`
  })
}

function describeDataset(dataset: Dataset): string[] {
  const { config, index, subsets, buckets } = dataset
  const sizes = {
    batch_size: config.batchSize,
    resolution: config.resolution?.join('x') ?? 'from the metadata',
    enable_bucket: config.enableBucket,
  }
  const bucketing = {
    min_bucket_reso: config.minBucketReso,
    max_bucket_reso: config.maxBucketReso,
    bucket_reso_steps: config.bucketResoSteps,
    bucket_no_upscale: config.bucketNoUpscale,
  }
  const lines = [
    `dataset ${index}`,
    ...settings('  ', config.enableBucket ? { ...sizes, ...bucketing } : sizes, config.origins),
  ]
  for (const [at, { config: subset, images }] of subsets.entries()) {
    const values = {
      ...(subset.kind === 'fineTuning' ? { metadata_file: subset.metadataFile } : {}),
      image_dir: subset.imageDir ?? 'none',
      num_repeats: subset.numRepeats,
      shuffle_caption: subset.shuffleCaption,
      keep_tokens: subset.keepTokens,
      flip_aug: subset.flipAug,
      ...(subset.kind === 'dreambooth'
        ? {
            is_reg: subset.isReg,
            class_tokens: subset.classTokens ?? 'none',
            caption_extension: subset.captionExtension,
          }
        : {}),
    }
    lines.push(`  subset ${at}: ${images.length} pictures`, ...settings('    ', values, subset.origins))
  }
  const info = bucketInfo(dataset)
  if (info === null) return lines
  for (const [at, { size, entries }] of buckets.entries()) {
    lines.push(`  bucket ${at}: ${size.width}x${size.height}, ${entries.length} pictures with repeats`)
  }
  lines.push(`  mean aspect ratio error: ${info.mean_img_ar_error.toFixed(4)}`)
  return lines
}
