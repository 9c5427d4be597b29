/**
 * The options of a dataset configuration, as data. Validation, precedence, error messages and documentation all read this
 * table; to add an option, add a row and a field in `datasetConfig.ts`.
 */

/** Where an option may stand: `[general]`, `[[datasets]]` or `[[datasets.subsets]]`. */
export type OptionLevel = 'general' | 'dataset' | 'subset'

/** Captions beside the pictures (or one for all), or captions, tags and sizes in one metadata file. */
export type DatasetKind = 'dreambooth' | 'fineTuning'

export interface DatasetOption {
  /** The key in a configuration file. */
  readonly name: string
  readonly type: 'integer' | 'number' | 'boolean' | 'text' | 'resolution' | 'range' | 'table'
  /** Smallest and largest accepted value of a number. */
  readonly minimum?: number
  readonly maximum?: number
  /** The only texts accepted. */
  readonly choices?: readonly string[]
  /** Whether a text must have at least one character. Default false. */
  readonly notEmpty?: true
  /** Value when no level and no command-line option gives one; undefined when there is none. */
  readonly default: number | boolean | string | undefined
  readonly levels: readonly OptionLevel[]
  /** The one kind of subset that has the option; both when left out. */
  readonly kind?: DatasetKind
  /** The kind of subset or dataset for which it is an error when no level gives a value. */
  readonly requiredFor?: DatasetKind
  /** What a trainer must be able to do to accept it. */
  readonly needs?: 'captionDropout' | 'network'
  /** The command-line option that serves as the last fallback, without dashes. */
  readonly commandLine?: string
  /** Another accepted spelling of the key; it wins over `name` within one table. */
  readonly alias?: string
  readonly doc: string
}

const everywhere = ['general', 'dataset', 'subset'] as const
const datasetLevels = ['general', 'dataset'] as const

export const datasetOptions = [
  {
    name: 'resolution',
    type: 'resolution',
    minimum: 8,
    default: undefined,
    levels: datasetLevels,
    requiredFor: 'dreambooth',
    commandLine: 'resolution',
    doc: 'Training size in pixels: one number, or [width, height]. With buckets, the area that every bucket keeps below.',
  },
  {
    name: 'batch_size',
    type: 'integer',
    minimum: 1,
    default: 1,
    levels: datasetLevels,
    commandLine: 'train_batch_size',
    doc: 'Pictures per batch.',
  },
  {
    name: 'enable_bucket',
    type: 'boolean',
    default: false,
    levels: datasetLevels,
    commandLine: 'enable_bucket',
    doc: 'Sort pictures into buckets by aspect ratio instead of training at one size.',
  },
  {
    name: 'min_bucket_reso',
    type: 'integer',
    minimum: 8,
    default: 256,
    levels: datasetLevels,
    commandLine: 'min_bucket_reso',
    doc: 'Smallest bucket side in pixels. Not used with bucket_no_upscale.',
  },
  {
    name: 'max_bucket_reso',
    type: 'integer',
    minimum: 8,
    default: 1024,
    levels: datasetLevels,
    commandLine: 'max_bucket_reso',
    doc: 'Largest bucket side in pixels. Not used with bucket_no_upscale.',
  },
  {
    name: 'bucket_reso_steps',
    type: 'integer',
    minimum: 8,
    default: 64,
    levels: datasetLevels,
    commandLine: 'bucket_reso_steps',
    doc: 'Bucket sides grow in steps of this many pixels; a multiple of 8.',
  },
  {
    name: 'bucket_no_upscale',
    type: 'boolean',
    default: false,
    levels: datasetLevels,
    commandLine: 'bucket_no_upscale',
    doc: 'Never enlarge a picture: buckets are made from the sizes of the pictures themselves.',
  },
  {
    name: 'image_dir',
    type: 'text',
    notEmpty: true,
    default: undefined,
    levels: ['subset'],
    requiredFor: 'dreambooth',
    doc: 'Folder whose pictures (directly inside, not in subfolders) form the subset. With metadata_file it may be left out: where the pictures of keys are looked for that are no paths.',
  },
  {
    name: 'class_tokens',
    type: 'text',
    default: undefined,
    levels: everywhere,
    kind: 'dreambooth',
    doc: 'Caption of every picture that has no caption file.',
  },
  {
    name: 'is_reg',
    type: 'boolean',
    default: false,
    levels: ['subset'],
    kind: 'dreambooth',
    doc: 'The subset holds regularization pictures.',
  },
  {
    name: 'num_repeats',
    type: 'integer',
    default: 1,
    levels: everywhere,
    commandLine: 'dataset_repeats',
    doc: 'How often each picture is seen per epoch. A subset with less than 1 is left out.',
  },
  {
    name: 'caption_extension',
    type: 'text',
    notEmpty: true,
    default: '.caption',
    levels: everywhere,
    commandLine: 'caption_extension',
    alias: 'caption_extention',
    kind: 'dreambooth',
    doc: 'File extension of caption files; a missing leading dot is added.',
  },
  {
    name: 'shuffle_caption',
    type: 'boolean',
    default: false,
    levels: everywhere,
    commandLine: 'shuffle_caption',
    doc: 'Shuffle the comma-separated tags of a caption each time it is used.',
  },
  {
    name: 'keep_tokens',
    type: 'integer',
    minimum: 0,
    default: 0,
    levels: everywhere,
    commandLine: 'keep_tokens',
    doc: 'This many leading tags stay in place when tags are shuffled.',
  },
  {
    name: 'flip_aug',
    type: 'boolean',
    default: false,
    levels: everywhere,
    commandLine: 'flip_aug',
    doc: 'Mirror a picture left to right with probability one half each time it is used.',
  },
  {
    name: 'metadata_file',
    type: 'text',
    notEmpty: true,
    default: undefined,
    levels: ['subset'],
    kind: 'fineTuning',
    doc: 'JSON file with the captions, tags and training sizes of the pictures; makes the subset one for fine-tuning.',
  },
  {
    name: 'keep_tokens_separator',
    type: 'text',
    default: undefined,
    levels: everywhere,
    commandLine: 'keep_tokens_separator',
    doc: 'Text in a caption that ends the tags that stay in place; after a second one stand tags that stay at the end. Takes the place of keep_tokens.',
  },
  {
    name: 'caption_separator',
    type: 'text',
    notEmpty: true,
    default: ',',
    levels: everywhere,
    commandLine: 'caption_separator',
    doc: 'Text between the tags of a caption.',
  },
  {
    name: 'secondary_separator',
    type: 'text',
    default: undefined,
    levels: everywhere,
    commandLine: 'secondary_separator',
    doc: 'Text between tags that are shuffled and dropped as one; becomes caption_separator afterwards.',
  },
  {
    name: 'enable_wildcard',
    type: 'boolean',
    default: false,
    levels: everywhere,
    commandLine: 'enable_wildcard',
    doc: 'Choose one line of the caption and one of the texts in each {a|b|c}, anew for each use.',
  },
  {
    name: 'caption_prefix',
    type: 'text',
    default: undefined,
    levels: everywhere,
    commandLine: 'caption_prefix',
    doc: 'Put before every caption, with a space.',
  },
  {
    name: 'caption_suffix',
    type: 'text',
    default: undefined,
    levels: everywhere,
    commandLine: 'caption_suffix',
    doc: 'Put after every caption, with a space.',
  },
  {
    name: 'caption_dropout_rate',
    type: 'number',
    minimum: 0,
    maximum: 1,
    default: 0,
    levels: everywhere,
    needs: 'captionDropout',
    commandLine: 'caption_dropout_rate',
    doc: 'Share of uses that train with the empty caption.',
  },
  {
    name: 'caption_dropout_every_n_epochs',
    type: 'integer',
    minimum: 0,
    default: 0,
    levels: everywhere,
    needs: 'captionDropout',
    commandLine: 'caption_dropout_every_n_epochs',
    doc: 'Every n-th epoch trains with empty captions; 0: none.',
  },
  {
    name: 'caption_tag_dropout_rate',
    type: 'number',
    minimum: 0,
    maximum: 1,
    default: 0,
    levels: everywhere,
    needs: 'captionDropout',
    commandLine: 'caption_tag_dropout_rate',
    doc: 'Share of tags left out, each on its own; tags that stay in place are never left out.',
  },
  {
    name: 'token_warmup_min',
    type: 'integer',
    minimum: 0,
    default: 1,
    levels: everywhere,
    commandLine: 'token_warmup_min',
    doc: 'Tags in use when the warm-up of tags begins.',
  },
  {
    name: 'token_warmup_step',
    type: 'number',
    minimum: 0,
    default: 0,
    levels: everywhere,
    commandLine: 'token_warmup_step',
    doc: 'Optimizer steps until every tag is in use; below 1 a share of the whole training; 0: no warm-up.',
  },
  {
    name: 'color_aug',
    type: 'boolean',
    default: false,
    levels: everywhere,
    commandLine: 'color_aug',
    doc: 'Change hue or brightness a little in a third of the uses.',
  },
  {
    name: 'random_crop',
    type: 'boolean',
    default: false,
    levels: everywhere,
    commandLine: 'random_crop',
    doc: 'Crop at a random place each time a picture is used instead of at its centre.',
  },
  {
    name: 'face_crop_aug_range',
    type: 'range',
    minimum: 0,
    default: undefined,
    levels: everywhere,
    commandLine: 'face_crop_aug_range',
    doc: 'Crop around the face that the file name tells (..._x_y_width_height), so that the shorter side is between [least, most] times its size. Without buckets and cached latents only.',
  },
  {
    name: 'alpha_mask',
    type: 'boolean',
    default: false,
    levels: everywhere,
    commandLine: 'alpha_mask',
    doc: 'Weight the loss by the alpha channel of the picture.',
  },
  {
    name: 'conditioning_data_dir',
    type: 'text',
    notEmpty: true,
    default: undefined,
    levels: ['subset'],
    kind: 'dreambooth',
    doc: 'Folder with a mask for each picture, of the same name and size: with masked_loss its red channel weighs the loss, black not counting at all. Takes the place of alpha_mask.',
  },
  {
    name: 'resize_interpolation',
    type: 'text',
    choices: ['area', 'lanczos', 'auto', 'nearest', 'bilinear', 'linear', 'bicubic', 'cubic', 'box'],
    default: 'area',
    levels: everywhere,
    commandLine: 'resize_interpolation',
    doc: 'How pictures are resized: area (means of areas), lanczos (sharp), auto (area, and lanczos where a side grows), box (means of whole pixels), or one of those that pass over pixels when shrinking: nearest, bilinear or linear, bicubic or cubic.',
  },
  {
    name: 'network_multiplier',
    type: 'number',
    default: 1,
    levels: datasetLevels,
    needs: 'network',
    doc: 'Strength of the network that trains, in the batches of the dataset; files are used at strength 1.',
  },
  {
    name: 'validation_split',
    type: 'number',
    minimum: 0,
    maximum: 1,
    default: 0,
    levels: datasetLevels,
    commandLine: 'validation_split',
    doc: 'Share of the pictures that are not trained on but measured: of each subset but those of regularization, of which at least one picture stays.',
  },
  {
    name: 'validation_seed',
    type: 'integer',
    minimum: 0,
    maximum: 2 ** 32,
    default: undefined,
    levels: datasetLevels,
    commandLine: 'validation_seed',
    doc: 'Seed of the choice of these pictures and of their noise; that of the training when not given.',
  },
  {
    name: 'custom_attributes',
    type: 'table',
    default: undefined,
    levels: everywhere,
    doc: 'Anything that a program of your own wants to know of a picture: it finds them in subset.customAttributes of the items of batches, and a loss of its own in attributes.',
  },
  {
    name: 'cache_info',
    type: 'boolean',
    default: false,
    levels: everywhere,
    kind: 'dreambooth',
    doc: "Accepted, without effect: what is known of the pictures and captions of a large folder is kept in the system's cache folder anyway, and looked at again where a file has changed.",
  },
] as const satisfies readonly DatasetOption[]
