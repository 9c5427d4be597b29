/** Options that contradict each other or that have no effect beside others, as data. */
import type { DatasetConfig, SubsetConfig } from './datasetConfig.ts'
import { type DatasetOptionName, datasetOption } from './datasetOptions.ts'

/** What is said on the command line about the whole training. */
export interface TrainingUse {
  /** Latents are encoded once, before training. Default false. */
  readonly cacheLatents?: boolean
  /** Captions are encoded once, before training. Default false. */
  readonly cacheTextEncoderOutputs?: boolean
  /** Masks weigh the loss (`--masked_loss`). Default false: those of `alpha_mask` alone do. */
  readonly maskedLoss?: boolean
}

/** What rules look at beside the values of a dataset or subset. */
export interface EffectContext extends TrainingUse {
  /** Of the dataset. */
  readonly enableBucket: boolean
}

/** Without its subsets. */
export type DatasetValues = Omit<DatasetConfig, 'subsets'>

/**
 * An option that contradicts another or does nothing beside others. A key that serves several datasets or subsets has no effect
 * when it has none for all of them; it contradicts when it does for one of them.
 */
export interface EffectRule<Values> {
  readonly option: DatasetOptionName
  /** The command-line option that it contradicts; undefined: it has no effect. */
  readonly contradicts?: '--cache_latents' | '--cache_text_encoder_outputs'
  /** A note where sd-scripts' own sample files break the rule; else an error. */
  readonly severity: 'error' | 'note'
  /** Why. */
  readonly because: string
  /** Whether a value that says what the default says breaks the rule too. Default false. */
  readonly evenDefault?: true
  readonly breaks: (values: Values, context: EffectContext) => boolean
}

const leastSide = datasetOption('min_bucket_reso').default as number
const largestSide = datasetOption('max_bucket_reso').default as number

const noEffect = { severity: 'error' } as const
const noBuckets = {
  ...noEffect,
  because: 'enable_bucket is not set',
  breaks: (dataset: DatasetValues) => !dataset.enableBucket,
}

export const datasetEffects: readonly EffectRule<DatasetValues>[] = [
  { ...noBuckets, option: 'min_bucket_reso', evenDefault: true },
  { ...noBuckets, option: 'max_bucket_reso', evenDefault: true },
  { ...noBuckets, option: 'bucket_reso_steps', evenDefault: true },
  { ...noBuckets, option: 'bucket_no_upscale' },
  {
    ...noEffect,
    option: 'validation_seed',
    because: 'no pictures are held out without validation_split',
    breaks: ({ validationSplit }) => validationSplit === 0,
  },
  // The default limits must enclose the resolution even so: beyond them the option has to be given.
  {
    ...noEffect,
    option: 'min_bucket_reso',
    evenDefault: true,
    because: 'bucket_no_upscale makes buckets from the sizes of the pictures',
    breaks: ({ bucketNoUpscale, resolution }) => bucketNoUpscale && !(Math.min(...(resolution ?? [])) < leastSide),
  },
  {
    ...noEffect,
    option: 'max_bucket_reso',
    evenDefault: true,
    because: 'bucket_no_upscale makes buckets from the sizes of the pictures',
    breaks: ({ bucketNoUpscale, resolution }) => bucketNoUpscale && !(Math.max(...(resolution ?? [])) > largestSide),
  },
]

/** Whether tags of a caption move, disappear or come in one by one. */
function tagsChange({ shuffleCaption, captionTagDropoutRate, tokenWarmupStep }: SubsetConfig): boolean {
  return shuffleCaption || captionTagDropoutRate > 0 || tokenWarmupStep > 0
}

const tagsStay = 'tags stay where they are without shuffle_caption, caption_tag_dropout_rate and token_warmup_step'

const movingPicture = {
  contradicts: '--cache_latents',
  severity: 'error',
  because: 'cached latents are of pictures that do not change; leave out one of the two',
} as const

const changingCaption = {
  contradicts: '--cache_text_encoder_outputs',
  severity: 'error',
  because: 'a caption that is encoded once must not change; leave out one of the two',
} as const

const textCached = (_: SubsetConfig, { cacheTextEncoderOutputs = false }: EffectContext): boolean =>
  cacheTextEncoderOutputs

export const subsetEffects: readonly EffectRule<SubsetConfig>[] = [
  { ...noEffect, severity: 'note', option: 'keep_tokens', because: tagsStay, breaks: (subset) => !tagsChange(subset) },
  {
    ...noEffect,
    severity: 'note',
    option: 'keep_tokens_separator',
    because: `${tagsStay}; it stays in captions as it is`,
    breaks: (subset) => !tagsChange(subset),
  },
  {
    ...noEffect,
    option: 'caption_separator',
    because: `${tagsStay}, there is no secondary_separator to become it, and no metadata to join with it`,
    breaks: (subset) => !tagsChange(subset) && subset.secondarySeparator === undefined && subset.kind === 'dreambooth',
  },
  {
    ...noEffect,
    option: 'secondary_separator',
    because: 'it is what caption_separator is, which it would become',
    breaks: (subset) => subset.secondarySeparator === subset.captionSeparator,
  },
  {
    ...noEffect,
    option: 'token_warmup_min',
    because: 'there is no warm-up of tags without token_warmup_step',
    breaks: (subset) => subset.tokenWarmupStep === 0,
  },
  { ...movingPicture, option: 'color_aug', breaks: (_, { cacheLatents = false }) => cacheLatents },
  { ...movingPicture, option: 'random_crop', breaks: (_, { cacheLatents = false }) => cacheLatents },
  {
    ...noEffect,
    option: 'face_crop_aug_range',
    because: 'latents are cached, of pictures cropped at their centre',
    breaks: (_, { cacheLatents = false }) => cacheLatents,
  },
  {
    ...noEffect,
    option: 'face_crop_aug_range',
    because: 'with enable_bucket pictures are cropped to their buckets, not around faces',
    breaks: (_, { enableBucket }) => enableBucket,
  },
  {
    ...noEffect,
    severity: 'note',
    option: 'conditioning_data_dir',
    because: 'masks weigh the loss with --masked_loss only',
    breaks: (_, { maskedLoss = false }) => !maskedLoss,
  },
  {
    ...noEffect,
    option: 'alpha_mask',
    because: 'conditioning_data_dir holds the masks',
    breaks: (subset) => subset.kind === 'dreambooth' && subset.conditioningDataDir !== undefined,
  },
  { ...changingCaption, option: 'shuffle_caption', breaks: textCached },
  { ...changingCaption, option: 'enable_wildcard', breaks: textCached },
  { ...changingCaption, option: 'caption_dropout_rate', breaks: textCached },
  { ...changingCaption, option: 'caption_dropout_every_n_epochs', breaks: textCached },
  { ...changingCaption, option: 'caption_tag_dropout_rate', breaks: textCached },
  { ...changingCaption, option: 'token_warmup_step', breaks: textCached },
]
