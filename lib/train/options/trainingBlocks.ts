/** From the options of a training to the blocks of its configuration that every kind has. */
import type { DatasetFallbacks } from '../../config/datasetConfig.ts'
import { loggedOptions } from '../../config/loggedOptions.ts'
import {
  type GivenTrainOptions,
  type TrainerName,
  type trainOptions,
  trainOptionsOf,
} from '../../config/trainOptions.ts'
import type { DatasetSource, DescribeDataset } from '../../data/datasetGroup.ts'
import type { DeviceName } from '../../tensor/tensor.ts'
import type { OptimizerConfig } from '../optimizerPlan.ts'
import type { LossOptions } from '../step/loss.ts'
import type { NoiseConfig, SaveForm, TrainConfig } from '../trainConfig.ts'

/** Options that every training has, with a default. */
type Defaulted = {
  [Row in (typeof trainOptions)[number] as Row extends { readonly trainers: unknown }
    ? never
    : Row extends { readonly default: unknown }
      ? Row['name']
      : never]: true
}

/** Options with their defaults where they were not given. */
export type TrainOptionValues = GivenTrainOptions & Required<Pick<GivenTrainOptions, keyof Defaulted>>

export function withDefaults(trainer: TrainerName, given: GivenTrainOptions): TrainOptionValues {
  const rows = [...trainOptionsOf(trainer).values()].filter((option) => option.default !== undefined)
  const defaults: object = Object.fromEntries(rows.map((option) => [option.name, option.default]))
  return { ...(defaults as TrainOptionValues), ...given }
}

/** What `max_token_length` asks for; 75 is what happens without it. */
const tokenLengths: Readonly<Record<string, 150 | 225>> = { 150: 150, 225: 225 }

/** What is made of options elsewhere. */
export interface BlockParts {
  readonly optimizer: OptimizerConfig
  readonly trackerName: string
  /** `dataset_class` */
  readonly describe: DescribeDataset | null
}

/** Expects options that `checkTrainOptions` has no complaint about. */
export function trainingBlocks(
  trainer: TrainerName,
  values: TrainOptionValues,
  given: GivenTrainOptions,
  { optimizer, trackerName, describe }: BlockParts,
): TrainConfig {
  return {
    model: {
      path: values.pretrained_model_name_or_path ?? '',
      v2: values.v2,
      vParameterization: values.v_parameterization,
      vae: values.vae ?? null,
      clipSkip: values.clip_skip ?? null,
      maxTokenLength: tokenLengths[values.max_token_length ?? '75'] ?? null,
    },
    data: dataBlock(values, given, describe),
    optimizer,
    training: {
      maxSteps: values.max_train_steps,
      maxEpochs: values.max_train_epochs ?? null,
      gradientAccumulationSteps: values.gradient_accumulation_steps,
      gradientCheckpointing: values.gradient_checkpointing || values.cpu_offload_checkpointing === true,
      mixedPrecision: values.mixed_precision,
      ...(values.device !== 'cpu' && { device: values.device as DeviceName }),
      ...(values.no_cuda_graphs && { noCudaGraphs: true }),
      ...(values.fused_backward_pass && { fusedBackwardPass: true }),
      ...(values.kept_weights_gib !== undefined && { keptWeightsBytes: values.kept_weights_gib * 2 ** 30 }),
      ...((values.full_bf16 || values.full_fp16) && { fullPrecision: true }),
      ...eightBitBlock(values),
      ...(values.no_half_vae && { noHalfVae: true }),
      onNonFinite: values.on_non_finite,
      maxSkippedSteps: values.max_skipped_steps,
      ...startBlock(values),
      seed: values.seed ?? null,
    },
    noise: noiseBlock(values),
    loss: lossBlock(values),
    output: {
      folder: values.output_dir ?? '',
      name: values.output_name ?? values.token_string ?? null,
      saveEveryEpochs: values.save_every_n_epochs ?? null,
      saveEverySteps: values.save_every_n_steps ?? null,
      savePrecision: values.save_precision ?? null,
      saveAs: saveFormOf(values),
      saveRatio: values.save_n_epoch_ratio ?? null,
      keepLastEpochs: values.save_last_n_epochs ?? null,
      keepLastSteps: values.save_last_n_steps ?? null,
      noMetadata: values.no_metadata,
      ...(values.hash_dataset_names && { hashDatasetNames: true }),
      metadata: {
        title: values.metadata_title ?? null,
        author: values.metadata_author ?? null,
        description: values.metadata_description ?? null,
        license: values.metadata_license ?? null,
        tags: values.metadata_tags ?? null,
        triggerPhrase: values.metadata_trigger_phrase ?? null,
        usageHint: values.metadata_usage_hint ?? null,
        thumbnail: values.metadata_thumbnail ?? null,
        mergedFrom: values.metadata_merged_from ?? null,
        preprocessor: values.metadata_preprocessor ?? null,
        isNegativeEmbedding: values.metadata_is_negative_embedding ?? null,
      },
    },
    validation: {
      split: values.validation_split,
      seed: values.validation_seed ?? null,
      everySteps: values.validate_every_n_steps ?? null,
      everyEpochs: values.validate_every_n_epochs ?? null,
      maxBatches: values.max_validation_steps ?? null,
    },
    state: {
      save: values.save_state,
      saveAtEnd: values.save_state_on_train_end,
      keepLastEpochs: values.save_last_n_epochs_state ?? null,
      keepLastSteps: values.save_last_n_steps_state ?? null,
      resume: values.resume ?? null,
      restart: values.resume_restart,
    },
    ...hubBlock(values),
    preview: {
      promptFile: values.sample_prompts ?? null,
      everyEpochs: values.sample_every_n_epochs ?? null,
      everySteps: values.sample_every_n_steps ?? null,
      sampler: values.sample_sampler,
      atFirst: values.sample_at_first,
    },
    logging: {
      folder: values.logging_dir ?? null,
      prefix: values.log_prefix ?? '',
      trackerName: values.log_tracker_name ?? trackerName,
      kinds: values.log_with === 'all' ? ['tensorboard', 'jsonl'] : [values.log_with ?? 'tensorboard'],
      tags: trainer === 'train-network' ? 'network' : 'model',
      webhook: values.log_webhook ?? null,
      ...(values.log_config && { options: loggedOptions(trainer, values) }),
    },
  }
}

function hubBlock(values: TrainOptionValues): Pick<TrainConfig, 'hub'> {
  const { huggingface_repo_id: repository, resume_from_huggingface: resume } = values
  if (repository === undefined && !resume) return {}
  return {
    hub: {
      repository: repository ?? null,
      type: values.huggingface_repo_type,
      folder: values.huggingface_path_in_repo ?? null,
      visibility: values.huggingface_repo_visibility,
      states: values.save_state_to_huggingface,
      background: values.async_upload,
      token: values.huggingface_token ?? null,
      resume,
    },
  }
}

function eightBitBlock({ fp8_base, fp8_base_unet }: TrainOptionValues): Pick<TrainConfig['training'], 'eightBitParts'> {
  if (fp8_base_unet) return { eightBitParts: ['unet'] }
  return fp8_base ? { eightBitParts: ['unet', 'textEncoder'] } : {}
}

function startBlock(values: TrainOptionValues): Pick<TrainConfig['training'], 'start'> {
  const { initial_step: step, initial_epoch: epoch, skip_until_initial_step: skip = false } = values
  if (step !== undefined) return { start: { at: { step }, skip } }
  return epoch === undefined ? {} : { start: { at: { epoch }, skip } }
}

function noiseBlock(values: TrainOptionValues): NoiseConfig {
  return {
    zeroTerminalSnr: values.zero_terminal_snr,
    minTimestep: values.min_timestep ?? null,
    maxTimestep: values.max_timestep ?? null,
    noiseOffset: values.noise_offset ?? null,
    adaptiveNoiseScale: values.adaptive_noise_scale ?? null,
    noiseOffsetRandomStrength: values.noise_offset_random_strength,
    multiresNoiseIterations: values.multires_noise_iterations ?? null,
    multiresNoiseDiscount: values.multires_noise_discount,
    ipNoiseGamma: values.ip_noise_gamma ?? null,
    ipNoiseGammaRandomStrength: values.ip_noise_gamma_random_strength,
  }
}

function lossBlock(values: TrainOptionValues): LossOptions {
  return {
    type: values.loss_type,
    huberSchedule: values.huber_schedule,
    huberC: values.huber_c,
    huberScale: values.huber_scale,
    minSnrGamma: values.min_snr_gamma ?? null,
    scaleVPredLossLikeNoisePred: values.scale_v_pred_loss_like_noise_pred,
    vPredLikeLoss: values.v_pred_like_loss ?? null,
    debiasedEstimation: values.debiased_estimation_loss,
  }
}

function dataBlock(
  values: TrainOptionValues,
  given: GivenTrainOptions,
  describe: DescribeDataset | null,
): TrainConfig['data'] {
  const { max_data_loader_n_workers: workers } = given
  const { cache_text_encoder_outputs: cachesText = false, cache_text_encoder_outputs_to_disk: toDisk = false } = values
  return {
    source: describe === null ? sourceOf(values) : { describe },
    fallbacks: fallbacksOf(given),
    maskedLoss: values.masked_loss,
    cacheLatents: values.cache_latents || values.cache_latents_to_disk,
    cacheLatentsToDisk: values.cache_latents_to_disk,
    cacheFolder: values.cache_dir ?? null,
    cacheTextEncoderOutputs: cachesText || toDisk,
    ...(toDisk && { cacheTextEncoderOutputsToDisk: true }),
    vaeBatchSize: values.vae_batch_size,
    priorLossWeight: values.prior_loss_weight ?? 1,
    weightedCaptions: values.weighted_captions ?? false,
    onBadImage: values.on_bad_image,
    onMissingCaption: values.use_object_template || values.use_style_template ? 'warn' : values.on_missing_caption,
    ignoreExif: values.ignore_exif,
    allowOutside: values.allow_outside_image_dir ?? false,
    ...(workers !== undefined && { workers: Math.max(1, workers) }),
  }
}

/** `use_safetensors` makes safetensors of whatever form was asked for. */
function saveFormOf({ save_model_as: form, use_safetensors }: TrainOptionValues): SaveForm | null {
  if (!use_safetensors) return form ?? null
  return form === 'diffusers' || form === 'diffusers_safetensors' ? 'diffusers_safetensors' : 'safetensors'
}

function sourceOf({ dataset_config, in_json, train_data_dir, reg_data_dir }: GivenTrainOptions): DatasetSource {
  if (dataset_config !== undefined) return { configFile: dataset_config }
  if (in_json !== undefined) return { metadataFile: in_json, imageDir: train_data_dir }
  return { trainDataDir: train_data_dir!, regDataDir: reg_data_dir }
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
    validation_split: given.validation_split,
    validation_seed: given.validation_seed,
  }
}
