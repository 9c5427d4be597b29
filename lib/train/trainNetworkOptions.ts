/** From the options of `train-network`, as people write them, to the typed configuration of a training. */
import type { DatasetFallbacks } from '../config/datasetConfig.ts'
import { readTrainConfigFile } from '../config/trainConfigFile.ts'
import {
  type GivenTrainOptions,
  readTrainArguments,
  type TrainOption,
  type TrainOptionReading,
  trainOptions,
} from '../config/trainOptions.ts'
import type { DatasetSource } from '../data/datasetGroup.ts'
import { ConfigError } from '../util/errors.ts'
import { type NetworkArguments, readNetworkArguments } from './networkArguments.ts'
import { readOptimizerOptions } from './optimizerOptions.ts'
import { type OptimizerConfig, planOptimizer } from './optimizerPlan.ts'
import type { TrainNetworkConfig } from './trainNetworkConfig.ts'
import { checkTrainOptions, notesOnTrainOptions } from './trainNetworkRules.ts'

export interface ParsedTrainNetwork {
  readonly config: TrainNetworkConfig
  /** What the user should know but need not mend: options that have no effect here. */
  readonly notes: readonly string[]
  /** How to show the data in place of a training; null: train. */
  readonly debugDataset: DebugDatasetOptions | null
}

/** What `--debug_dataset` shows, and where. */
export interface DebugDatasetOptions {
  /** Null: all of one epoch. */
  readonly maxBatches: number | null
  /** File that the batches are written into as a page. */
  readonly html: string | null
  /** Port of this machine at which the page is served; 0: any free one. */
  readonly port: number | null
}

export interface ParseOptions {
  /** Whether options that a look at the data can do without may be missing; they are empty texts then. Default false. */
  readonly dataOnly?: boolean
}

/**
 * Reads the arguments after `train-network`, and the configuration file they may name; the command line wins over the file.
 *
 *   const { config } = await parseTrainNetwork(['--pretrained_model_name_or_path', 'model', ...])
 *   for await (const event of trainNetwork(config)) ...
 *
 * @throws ConfigError that names every problem of the command line and of the file, one on a line
 */
export async function parseTrainNetwork(
  args: readonly string[],
  { dataOnly = false }: ParseOptions = {},
): Promise<ParsedTrainNetwork> {
  const line = readTrainArguments(args)
  const problems = [...line.problems]
  let file: TrainOptionReading = { given: {}, unreadable: new Set(), problems: [] }
  const { config_file: path } = line.given
  if (path !== undefined) {
    try {
      file = await readTrainConfigFile(path)
    } catch (error) {
      if (!(error instanceof ConfigError) || problems.length === 0) throw error
      throw new ConfigError([...problems, error.message].join('\n'), { option: 'config_file' }, { cause: error })
    }
    problems.push(...file.problems)
  }
  const given: GivenTrainOptions = { ...file.given, ...line.given }
  const unreadable = new Set([...file.unreadable, ...line.unreadable])
  problems.push(...checkTrainOptions(given, { unreadable, dataOnly }))
  const optimizer = await readOptimizerOptions(given)
  const network = readNetworkArguments(given.network_args ?? [])
  problems.push(...optimizer.problems, ...network.problems)
  const config = configOf(given, optimizer.config, network.facts)
  if (optimizer.problems.length === 0) problems.push(...planOptimizer(config.optimizer).problems)
  if (problems.length > 0) throw new ConfigError(problems.join('\n'))
  return { config, notes: notesOnTrainOptions(given), debugDataset: debugOf(given) }
}

type Defaults = {
  readonly [Row in (typeof trainOptions)[number] as Row extends { readonly default: unknown }
    ? Row['name']
    : never]: Row extends { readonly default: infer Value } ? Value : never
}

/** Defaults of the options that have one. */
const defaults = Object.fromEntries(
  (trainOptions as readonly TrainOption[]).map((option) => [option.name, option.default]),
) as unknown as Defaults

/** What `max_token_length` asks for; 75 is what happens without it. */
const tokenLengths: Readonly<Record<string, 150 | 225>> = { 150: 150, 225: 225 }

/** Expects options that `checkTrainOptions` has no complaint about. */
function configOf(given: GivenTrainOptions, optimizer: OptimizerConfig, network: NetworkArguments): TrainNetworkConfig {
  const values = { ...defaults, ...given }
  const { max_token_length: maxTokenLength } = values
  return {
    model: {
      path: values.pretrained_model_name_or_path ?? '',
      v2: values.v2,
      vParameterization: values.v_parameterization,
      vae: values.vae ?? null,
      clipSkip: values.clip_skip ?? null,
      maxTokenLength: tokenLengths[maxTokenLength ?? '75'] ?? null,
    },
    data: {
      source: sourceOf(values),
      fallbacks: fallbacksOf(given),
      cacheLatents: values.cache_latents || values.cache_latents_to_disk,
      cacheLatentsToDisk: values.cache_latents_to_disk,
      cacheFolder: values.cache_dir ?? null,
      cacheTextEncoderOutputs: values.cache_text_encoder_outputs,
      vaeBatchSize: values.vae_batch_size,
      priorLossWeight: values.prior_loss_weight,
      weightedCaptions: values.weighted_captions,
      onBadImage: values.on_bad_image,
      ignoreExif: values.ignore_exif,
      allowOutside: values.allow_outside_image_dir,
      ...(given.max_data_loader_n_workers !== undefined && { workers: Math.max(1, given.max_data_loader_n_workers) }),
    },
    network: {
      dim: values.network_dim ?? null,
      alpha: values.network_alpha ?? null,
      dropout: values.network_dropout ?? null,
      ...network,
      trainUnet: !values.network_train_text_encoder_only,
      trainTextEncoder: !values.network_train_unet_only,
      trainingComment: values.training_comment ?? null,
      noMetadata: values.no_metadata,
    },
    optimizer,
    training: {
      maxSteps: values.max_train_steps,
      maxEpochs: values.max_train_epochs ?? null,
      gradientAccumulationSteps: values.gradient_accumulation_steps,
      gradientCheckpointing: values.gradient_checkpointing,
      mixedPrecision: values.mixed_precision,
      seed: values.seed ?? null,
      noiseOffset: values.noise_offset ?? null,
      adaptiveNoiseScale: values.adaptive_noise_scale ?? null,
      minSnrGamma: values.min_snr_gamma ?? null,
    },
    output: {
      folder: values.output_dir ?? '',
      name: given.output_name ?? null,
      saveEveryEpochs: values.save_every_n_epochs ?? null,
      saveEverySteps: values.save_every_n_steps ?? null,
      savePrecision: values.save_precision ?? null,
    },
    preview: {
      promptFile: values.sample_prompts ?? null,
      everyEpochs: values.sample_every_n_epochs ?? null,
      everySteps: values.sample_every_n_steps ?? null,
    },
    logging: {
      folder: values.logging_dir ?? null,
      prefix: values.log_prefix ?? '',
      trackerName: values.log_tracker_name,
    },
  }
}

function sourceOf({ dataset_config, in_json, train_data_dir, reg_data_dir }: GivenTrainOptions): DatasetSource {
  if (dataset_config !== undefined) return { configFile: dataset_config }
  if (in_json !== undefined) return { metadataFile: in_json, imageDir: train_data_dir }
  return { trainDataDir: train_data_dir!, regDataDir: reg_data_dir }
}

function debugOf(given: GivenTrainOptions): DebugDatasetOptions | null {
  if (!given.debug_dataset) return null
  return {
    maxBatches: given.debug_dataset_max_batches ?? null,
    html: given.debug_dataset_html ?? null,
    port: given.debug_dataset_port ?? null,
  }
}

/** Only options that were given: the dataset's own defaults come after them, and its report says where a value came from. */
function fallbacksOf(given: GivenTrainOptions): DatasetFallbacks {
  return {
    resolution: given.resolution,
    batch_size: given.train_batch_size,
    num_repeats: given.dataset_repeats,
    enable_bucket: given.enable_bucket,
    min_bucket_reso: given.min_bucket_reso,
    max_bucket_reso: given.max_bucket_reso,
    bucket_reso_steps: given.bucket_reso_steps,
    bucket_no_upscale: given.bucket_no_upscale,
    caption_extension: given.caption_extention ?? given.caption_extension,
    shuffle_caption: given.shuffle_caption,
    keep_tokens: given.keep_tokens,
    keep_tokens_separator: given.keep_tokens_separator,
    caption_separator: given.caption_separator,
    secondary_separator: given.secondary_separator,
    enable_wildcard: given.enable_wildcard,
    caption_prefix: given.caption_prefix,
    caption_suffix: given.caption_suffix,
    caption_dropout_rate: given.caption_dropout_rate,
    caption_dropout_every_n_epochs: given.caption_dropout_every_n_epochs,
    caption_tag_dropout_rate: given.caption_tag_dropout_rate,
    token_warmup_min: given.token_warmup_min,
    token_warmup_step: given.token_warmup_step,
    color_aug: given.color_aug,
    flip_aug: given.flip_aug,
    random_crop: given.random_crop,
    face_crop_aug_range: given.face_crop_aug_range,
    alpha_mask: given.alpha_mask,
    resize_interpolation: given.resize_interpolation,
  }
}
