import type { DatasetOptionName } from './datasetOptions.ts'

/** The numbers of one dataset that the rules between options concern. */
export interface SizeOptions {
  readonly resolution: readonly [number, number]
  readonly enableBucket: boolean
  readonly minBucketReso: number
  readonly maxBucketReso: number
  readonly bucketResoSteps: number
  readonly bucketNoUpscale: boolean
}

/** A broken rule and the option to blame for it. */
export interface BrokenRule {
  readonly option: DatasetOptionName
  readonly message: string
}

/** What the functions here check, and what else no single value shows, in words. */
export const datasetRulesInWords: readonly string[] = [
  'Without enable_bucket both sides of the resolution must be multiples of 8.',
  'bucket_reso_steps must be a multiple of 8, and at most the shorter side of the resolution.',
  'min_bucket_reso must be a multiple of 8, from bucket_reso_steps to the shorter side of the resolution.',
  'max_bucket_reso must be a multiple of 8, from the longer side of the resolution to its area divided by bucket_reso_steps.',
  'bucket_no_upscale contradicts metadata that gives every picture a train_resolution.',
  'resolution may be missing only where metadata gives every picture a train_resolution.',
  'face_crop_aug_range has the smaller number first.',
  'In one dataset either all subsets have a metadata_file or none has.',
  'image_dir may be missing only beside metadata_file.',
  'masked_loss needs a subset with conditioning_data_dir or alpha_mask.',
]

/**
 * Checks the sizes of a dataset against each other.
 *
 * @param sizeMultiple every training size must be a multiple of this many pixels, since the VAE reduces sides by 8
 */
export function checkSizes(sizes: SizeOptions, sizeMultiple: number): BrokenRule[] {
  const broken: BrokenRule[] = []
  const report = (option: DatasetOptionName, message: string): number => broken.push({ option, message })
  const { resolution, minBucketReso, maxBucketReso, bucketResoSteps } = sizes
  const [width, height] = resolution
  const shown = `${width}x${height}`

  if (!sizes.enableBucket) {
    if (width % sizeMultiple !== 0 || height % sizeMultiple !== 0) {
      const near = `${nearestMultiple(width, sizeMultiple)}x${nearestMultiple(height, sizeMultiple)}`
      report(
        'resolution',
        `resolution must be divisible by ${sizeMultiple}, found ${shown}: use ${near}, or set enable_bucket`,
      )
    }
    return broken
  }
  if (bucketResoSteps % sizeMultiple !== 0) {
    const near = nearestMultiple(bucketResoSteps, sizeMultiple)
    report(
      'bucket_reso_steps',
      `bucket_reso_steps must be divisible by ${sizeMultiple}, found ${bucketResoSteps}: use ${near}`,
    )
  }
  if (minBucketReso > maxBucketReso) {
    report(
      'min_bucket_reso',
      `min_bucket_reso (${minBucketReso}) is larger than max_bucket_reso (${maxBucketReso}): swap them`,
    )
  }
  if (Math.min(width, height) < minBucketReso) {
    report(
      'min_bucket_reso',
      `min_bucket_reso must not exceed the resolution's shorter side, found ${minBucketReso} with ${shown}`,
    )
  }
  if (Math.max(width, height) > maxBucketReso) {
    report(
      'max_bucket_reso',
      `max_bucket_reso must reach the resolution's longer side, found ${maxBucketReso} with ${shown}`,
    )
  }
  if (Math.min(width, height) < bucketResoSteps) {
    report(
      'bucket_reso_steps',
      `bucket_reso_steps must not exceed the resolution, found ${bucketResoSteps} with ${shown}`,
    )
  }
  if (sizes.bucketNoUpscale || broken.length > 0) return broken

  for (const [option, value] of [
    ['min_bucket_reso', minBucketReso],
    ['max_bucket_reso', maxBucketReso],
  ] as const) {
    if (value % sizeMultiple !== 0) {
      report(
        option,
        `${option} must be divisible by ${sizeMultiple}, found ${value}: use ${nearestMultiple(value, sizeMultiple)}`,
      )
    }
  }
  if (minBucketReso < bucketResoSteps) {
    report(
      'min_bucket_reso',
      `min_bucket_reso must be at least bucket_reso_steps (${bucketResoSteps}), found ${minBucketReso}`,
    )
  }
  const cells = Math.floor(width / bucketResoSteps) * Math.floor(height / bucketResoSteps)
  if (Math.floor(maxBucketReso / bucketResoSteps) > cells) {
    const message = `max_bucket_reso (${maxBucketReso}) leaves buckets of no height at resolution ${shown}: use at most ${cells * bucketResoSteps}`
    report('max_bucket_reso', message)
  }
  return broken
}

function nearestMultiple(value: number, step: number): number {
  return Math.max(step, Math.round(value / step) * step)
}

/**
 * What the sizes in the metadata of a fine-tuning dataset mean for its options. Sizes of all pictures become its buckets; else
 * the dataset's own resolution and buckets are needed.
 *
 * @param everyPictureHasSize whether each entry of its metadata files has `train_resolution`
 */
export function checkMetadataSizes(
  {
    resolution,
    bucketNoUpscale,
  }: { readonly resolution: SizeOptions['resolution'] | undefined; readonly bucketNoUpscale: boolean },
  everyPictureHasSize: boolean,
): BrokenRule[] {
  if (everyPictureHasSize && bucketNoUpscale) {
    const message =
      'bucket_no_upscale contradicts the metadata, whose train_resolution gives every picture its bucket: leave it out'
    return [{ option: 'bucket_no_upscale', message }]
  }
  if (everyPictureHasSize || resolution !== undefined) return []
  const message =
    'option "resolution" is missing, since not every picture of the metadata has a train_resolution: set it in [[datasets]] or [general], or give --resolution'
  return [{ option: 'resolution', message }]
}
