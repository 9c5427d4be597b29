/**
 * The options of a dataset configuration, as data. Validation, precedence, error messages and documentation all read this
 * table; to add an option, add a row and a field in `datasetConfig.ts`.
 */

/** Where an option may stand: `[general]`, `[[datasets]]` or `[[datasets.subsets]]`. */
export type OptionLevel = 'general' | 'dataset' | 'subset'

export interface DatasetOption {
  /** The key in a configuration file. */
  readonly name: string
  readonly type: 'integer' | 'boolean' | 'text' | 'resolution'
  /** Smallest accepted value of an integer. */
  readonly minimum?: number
  /** Value when no level and no command-line option gives one; undefined when there is none. */
  readonly default: number | boolean | string | undefined
  readonly levels: readonly OptionLevel[]
  /** An error when no level gives a value. */
  readonly required?: true
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
    required: true,
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
    default: undefined,
    levels: ['subset'],
    required: true,
    doc: 'Folder whose pictures (directly inside, not in subfolders) form the subset.',
  },
  {
    name: 'class_tokens',
    type: 'text',
    default: undefined,
    levels: everywhere,
    doc: 'Caption of every picture that has no caption file.',
  },
  {
    name: 'is_reg',
    type: 'boolean',
    default: false,
    levels: ['subset'],
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
    default: '.caption',
    levels: everywhere,
    commandLine: 'caption_extension',
    alias: 'caption_extention',
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
] as const satisfies readonly DatasetOption[]

export type DatasetOptionName = (typeof datasetOptions)[number]['name']

type Row<Name extends DatasetOptionName> = Extract<(typeof datasetOptions)[number], { readonly name: Name }>
interface ValueOfType {
  integer: number
  boolean: boolean
  text: string
  resolution: number | readonly [number, number]
}

/** The type of an option's value as written, derived from its row. */
export type DatasetOptionValue<Name extends DatasetOptionName> = ValueOfType[Row<Name>['type']]

/** The row of an option. */
export function datasetOption(name: DatasetOptionName): DatasetOption {
  return datasetOptions.find((option) => option.name === name)!
}

/** The options accepted at one level, by every accepted spelling. */
export function optionsAt(level: OptionLevel): Map<string, DatasetOption> {
  const accepted = new Map<string, DatasetOption>()
  for (const option of datasetOptions as readonly DatasetOption[]) {
    if (!option.levels.includes(level)) continue
    accepted.set(option.name, option)
    if (option.alias !== undefined) accepted.set(option.alias, option)
  }
  return accepted
}

/** Options of sd-scripts' dataset files that this version refuses by name, so that none is ignored in silence. */
export const laterDatasetOptions: readonly string[] = [
  'alpha_mask',
  'cache_info',
  'caption_dropout_every_n_epochs',
  'caption_dropout_rate',
  'caption_prefix',
  'caption_separator',
  'caption_suffix',
  'caption_tag_dropout_rate',
  'color_aug',
  'conditioning_data_dir',
  'custom_attributes',
  'enable_wildcard',
  'face_crop_aug_range',
  'keep_tokens_separator',
  'metadata_file',
  'network_multiplier',
  'random_crop',
  'resize_interpolation',
  'secondary_separator',
  'token_warmup_min',
  'token_warmup_step',
  'validation_seed',
  'validation_split',
]

/** Options that belong on the command line; in a dataset file they are an error that says so. */
export const commandLineOnlyOptions: readonly string[] = [
  'cache_latents',
  'cache_latents_to_disk',
  'clip_skip',
  'dataset_class',
  'debug_dataset',
  'max_data_loader_n_workers',
  'max_token_length',
  'no_token_padding',
  'persistent_data_loader_workers',
  'prior_loss_weight',
  'seed',
  'tokenizer_cache_dir',
  'vae_batch_size',
  'weighted_captions',
]

/** What a value of this option must be, in words, for messages. */
export function expectedValue(option: DatasetOption): string {
  const { type, minimum } = option
  switch (type) {
    case 'integer':
      return minimum === undefined ? 'a whole number' : `a whole number of at least ${minimum}`
    case 'boolean':
      return 'true or false'
    case 'text':
      return 'text in quotes'
    case 'resolution':
      return `one whole number or a list of two ([width, height]), each at least ${minimum}`
    default:
      return type satisfies never
  }
}

const levelNames: Record<OptionLevel, string> = {
  general: '[general]',
  dataset: '[[datasets]]',
  subset: '[[datasets.subsets]]',
}

/** The tables an option may stand in: `[general] or [[datasets]]`. */
export function levelsInWords(levels: readonly OptionLevel[]): string {
  const names = levels.map((level) => levelNames[level])
  return names.length < 2 ? names.join('') : `${names.slice(0, -1).join(', ')} or ${names.at(-1)}`
}

/** The option table as Markdown, for the documentation. */
export function describeDatasetOptions(): string {
  const rows = (datasetOptions as readonly DatasetOption[]).map((option) => {
    const name = option.alias === undefined ? `\`${option.name}\`` : `\`${option.name}\` (also \`${option.alias}\`)`
    const fallback = option.commandLine === undefined ? '' : `\`--${option.commandLine}\``
    const byDefault = option.required ? 'required' : option.default === undefined ? 'none' : `\`${option.default}\``
    return `| ${name} | ${expectedValue(option)} | ${byDefault} | ${levelsInWords(option.levels)} | ${fallback} | ${option.doc} |`
  })
  const header = '| option | value | default | where | command line | meaning |\n|---|---|---|---|---|---|'
  return `${header}\n${rows.join('\n')}\n`
}
