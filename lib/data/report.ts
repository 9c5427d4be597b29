import type { SubsetOptions, ValueOrigin } from '../config/datasetConfig.ts'
import type { DatasetOptionName } from '../config/datasetOptions.ts'
import { bucketInfo } from './bookkeeping.ts'
import type { Dataset } from './dataset.ts'
import type { DatasetGroup } from './datasetGroup.ts'
import { type BucketDescription, describeBuckets } from './describeBuckets.ts'

/** The start-up report: what was found, how it will be used, and where each setting came from, as plain lines. */
export function describeDatasetGroup(group: DatasetGroup): string[] {
  const lines = group.datasets.flatMap(describeDataset)
  const reg =
    group.regImageCount === 0 ? 'no regularization pictures' : `${group.regImageCount} regularization pictures`
  if (group.missingCaptions.length > 0)
    lines.push(`${group.missingCaptions.length} pictures without a caption of their own`)
  const { heldOut } = group
  for (const { index, images } of heldOut?.datasets ?? [])
    if (images.length > 0)
      lines.push(
        `${images.length} pictures of dataset ${index} held out with seed ${heldOut!.seeds[index]}, to be measured`,
      )
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
  const { config, index, subsets } = dataset
  const sizes = {
    batch_size: config.batchSize,
    resolution: config.resolution?.join('x') ?? 'from the metadata',
    enable_bucket: config.enableBucket,
    ...(config.validationSplit > 0 && { validation_split: config.validationSplit }),
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
      ...captionSettings(subset),
      color_aug: subset.colorAug,
      flip_aug: subset.flipAug,
      random_crop: subset.randomCrop,
      face_crop_aug_range: subset.faceCropAugRange?.join(' to ') ?? 'none',
      alpha_mask: subset.alphaMask,
      resize_interpolation: subset.resizeInterpolation,
      ...(subset.kind === 'dreambooth'
        ? {
            is_reg: subset.isReg,
            class_tokens: subset.classTokens ?? 'none',
            caption_extension: subset.captionExtension,
            conditioning_data_dir: subset.conditioningDataDir ?? 'none',
          }
        : {}),
    }
    const turned = images.filter(({ orientation }) => orientation !== 1).length
    const upright = turned === 0 ? '' : `, ${turned} of them turned upright as their EXIF data say`
    lines.push(`  subset ${at}: ${images.length} pictures${upright}`, ...settings('    ', values, subset.origins))
  }
  const withLatents = dataset.images.filter(({ latents }) => latents !== undefined).length
  if (withLatents > 0) lines.push(`  latents in files are used for all ${withLatents} pictures`)
  const info = bucketInfo(dataset)
  if (info === null) return lines
  lines.push(...describeBuckets(dataset).map(bucketLine))
  lines.push(`  mean aspect ratio error: ${info.mean_img_ar_error.toFixed(4)}`)
  return lines
}

function bucketLine({ size, count, images, upscaled, croppedShare }: BucketDescription, at: number): string {
  const facts = [`${count} pictures with repeats`, `${images} files`]
  if (upscaled > 0) facts.push(`${upscaled} enlarged`)
  if (croppedShare > 0) facts.push(`${(100 * croppedShare).toFixed(1)} % cut off`)
  return `  bucket ${at}: ${size.width}x${size.height}, ${facts.join(', ')}`
}

/** Every option about captions. Texts stand in quotes, so that white space shows. */
function captionSettings(subset: SubsetOptions): Partial<Record<DatasetOptionName, unknown>> {
  const text = (value: string | undefined): string => (value === undefined ? 'none' : JSON.stringify(value))
  return {
    shuffle_caption: subset.shuffleCaption,
    keep_tokens: subset.keepTokens,
    keep_tokens_separator: text(subset.keepTokensSeparator),
    caption_separator: text(subset.captionSeparator),
    secondary_separator: text(subset.secondarySeparator),
    enable_wildcard: subset.enableWildcard,
    caption_prefix: text(subset.captionPrefix),
    caption_suffix: text(subset.captionSuffix),
    caption_dropout_rate: subset.captionDropoutRate,
    caption_dropout_every_n_epochs: subset.captionDropoutEveryNEpochs,
    caption_tag_dropout_rate: subset.captionTagDropoutRate,
    token_warmup_min: subset.tokenWarmupMin,
    token_warmup_step: subset.tokenWarmupStep,
  }
}
