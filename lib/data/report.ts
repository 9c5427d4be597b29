import { bucketInfo } from './bookkeeping.ts'
import type { Dataset } from './dataset.ts'
import type { DatasetGroup } from './datasetGroup.ts'

/** The start-up report: what was found and how it will be used, as plain lines. */
export function describeDatasetGroup(group: DatasetGroup): string[] {
  const lines = group.datasets.flatMap(describeDataset)
  const reg =
    group.regImageCount === 0 ? 'no regularization pictures' : `${group.regImageCount} regularization pictures`
  lines.push(
    `${group.trainImageCount} training pictures with repeats, ${reg}, ${group.batchesPerEpoch} batches per epoch`,
  )
  return lines
}

function describeDataset(dataset: Dataset): string[] {
  const { config, index, subsets, buckets } = dataset
  const lines = [
    `dataset ${index}`,
    `  batch_size: ${config.batchSize}`,
    `  resolution: ${config.resolution.join('x')}`,
    `  enable_bucket: ${config.enableBucket}`,
  ]
  if (config.enableBucket) {
    lines.push(
      `  min_bucket_reso: ${config.minBucketReso}`,
      `  max_bucket_reso: ${config.maxBucketReso}`,
      `  bucket_reso_steps: ${config.bucketResoSteps}`,
      `  bucket_no_upscale: ${config.bucketNoUpscale}`,
    )
  }
  for (const [at, { config: subset, images }] of subsets.entries()) {
    lines.push(
      `  subset ${at}`,
      `    image_dir: ${subset.imageDir}`,
      `    pictures: ${images.length}`,
      `    num_repeats: ${subset.numRepeats}`,
      `    shuffle_caption: ${subset.shuffleCaption}`,
      `    keep_tokens: ${subset.keepTokens}`,
      `    flip_aug: ${subset.flipAug}`,
      `    is_reg: ${subset.isReg}`,
      `    class_tokens: ${subset.classTokens ?? '(none)'}`,
      `    caption_extension: ${subset.captionExtension}`,
    )
  }
  const info = bucketInfo(dataset)
  if (info === null) return lines
  for (const [at, { size, entries }] of buckets.entries()) {
    lines.push(`  bucket ${at}: ${size.width}x${size.height}, ${entries.length} pictures with repeats`)
  }
  lines.push(`  mean aspect ratio error: ${info.mean_img_ar_error.toFixed(4)}`)
  return lines
}
