import { float, type PythonFloat, type PythonValue, pythonJson, pythonStr } from './pythonText.ts'

/** The network, as the options gave it. */
export interface NetworkFacts {
  /** `'networks.lora'`. */
  readonly module: string
  /** Null when the option was not given. */
  readonly dim: number | null
  /** Null when the option was not given: recorded as the integer 1, its default. */
  readonly alpha: number | null
  readonly dropout: number | null
  /** Absent when no arguments were given. */
  readonly args?: Readonly<Record<string, string>>
}

/** A model file that training started from. The hashes are known only for a file on this machine. */
export interface ModelFacts {
  /** Base name of an existing path, else the identifier given. */
  readonly name: string
  /** See `legacyFileHash` and `sha256File` in `lib/io/fileHash.ts`. */
  readonly hashes?: { readonly legacy: string; readonly sha256: string }
}

/** Everything that the metadata of a LoRA file records about a training. Null is Python's None. */
export interface TrainingFacts {
  readonly sessionId: number
  /** Unix time in seconds. */
  readonly startedAt: number
  readonly outputName: string | null
  /** Null: the optimizer finds its own. */
  readonly learningRate: number | null
  readonly textEncoderLearningRate: number | null
  readonly unetLearningRate: number | null
  /** Images counted with their repeats. */
  readonly trainImageCount: number
  readonly regImageCount: number
  readonly batchesPerEpoch: number
  readonly epochCount: number
  readonly gradientCheckpointing: boolean
  readonly gradientAccumulationSteps: number
  readonly maxTrainSteps: number
  /** A share of the run is a float. */
  readonly warmupSteps: number | PythonFloat
  readonly scheduler: string
  readonly network: NetworkFacts
  readonly mixedPrecision: 'no' | 'fp16' | 'bf16'
  readonly fullFp16: boolean
  readonly v2: boolean
  readonly clipSkip: number | null
  readonly maxTokenLength: number | null
  readonly cacheLatents: boolean
  readonly seed: number
  readonly lowRam: boolean
  readonly noiseOffset: number | null
  readonly multiresNoiseIterations: number | null
  readonly multiresNoiseDiscount: number
  readonly adaptiveNoiseScale: number | null
  readonly trainingComment: string | null
  /** Default: `'(unknown)'`, the value for an installation without a repository. */
  readonly commitHash?: string
  /** `module.Class`, or `module.Class(key=value,key=value)`. */
  readonly optimizer: string
  readonly maxGradNorm: number
  readonly captionDropoutRate: number
  readonly captionDropoutEveryEpochs: number
  readonly captionTagDropoutRate: number
  readonly faceCropAugRange: readonly [number, number] | null
  readonly priorLossWeight: number
  readonly minSnrGamma: number | null
  readonly scaleWeightNorms: number | null
  readonly model?: ModelFacts
  readonly vae?: ModelFacts
  /** Keys of later versions, `ss_` included. Default: none. */
  readonly later?: Readonly<Record<string, PythonValue>>
  /** The texts that describe the data: `datasetMetadata` of lib/data/bookkeeping.ts. */
  readonly data: Readonly<Record<string, string>>
}

/** Where training stood when the file was saved. */
export interface SaveFacts {
  readonly steps: number
  /** Counted from 0 for a save after steps, from 1 for a save after an epoch; at the end the number of epochs. */
  readonly epoch: number
  /** Unix time in seconds. */
  readonly finishedAt: number
}

/**
 * The `ss_*` metadata of a LoRA file, as texts. The `sshs_*` hashes are added by `writeKohyaLora`, which knows the bytes.
 */
export function loraMetadata(facts: TrainingFacts, save: SaveFacts): Record<string, string> {
  const values: Readonly<Record<string, PythonValue>> = {
    ss_session_id: facts.sessionId,
    ss_training_started_at: float(facts.startedAt),
    ss_output_name: facts.outputName,
    ss_learning_rate: float(facts.learningRate),
    ss_text_encoder_lr: float(facts.textEncoderLearningRate),
    ss_unet_lr: float(facts.unetLearningRate),
    ss_num_train_images: facts.trainImageCount,
    ss_num_reg_images: facts.regImageCount,
    ss_num_batches_per_epoch: facts.batchesPerEpoch,
    ss_num_epochs: facts.epochCount,
    ss_gradient_checkpointing: facts.gradientCheckpointing,
    ss_gradient_accumulation_steps: facts.gradientAccumulationSteps,
    ss_max_train_steps: facts.maxTrainSteps,
    ss_lr_warmup_steps: facts.warmupSteps,
    ss_lr_scheduler: facts.scheduler,
    ss_network_dropout: float(facts.network.dropout),
    ss_mixed_precision: facts.mixedPrecision,
    ss_full_fp16: facts.fullFp16,
    ss_v2: facts.v2,
    ss_clip_skip: facts.clipSkip,
    ss_max_token_length: facts.maxTokenLength,
    ss_cache_latents: facts.cacheLatents,
    ss_seed: facts.seed,
    ss_lowram: facts.lowRam,
    ss_noise_offset: float(facts.noiseOffset),
    ss_multires_noise_iterations: facts.multiresNoiseIterations,
    ss_multires_noise_discount: float(facts.multiresNoiseDiscount),
    ss_adaptive_noise_scale: float(facts.adaptiveNoiseScale),
    ss_training_comment: facts.trainingComment,
    ss_sd_scripts_commit_hash: facts.commitHash ?? '(unknown)',
    ss_optimizer: facts.optimizer,
    ss_max_grad_norm: float(facts.maxGradNorm),
    ss_caption_dropout_rate: float(facts.captionDropoutRate),
    ss_caption_dropout_every_n_epochs: facts.captionDropoutEveryEpochs,
    ss_caption_tag_dropout_rate: float(facts.captionTagDropoutRate),
    ss_face_crop_aug_range: facts.faceCropAugRange === null ? null : facts.faceCropAugRange.map(float),
    ss_prior_loss_weight: float(facts.priorLossWeight),
    ss_min_snr_gamma: float(facts.minSnrGamma),
    ss_scale_weight_norms: float(facts.scaleWeightNorms),
    ...facts.later,
    ss_steps: save.steps,
    ss_epoch: save.epoch,
    ss_training_finished_at: float(save.finishedAt),
  }
  const texts = Object.fromEntries(Object.entries(values).map(([key, value]) => [key, pythonStr(value)]))
  return {
    ...texts,
    ...minimalLoraMetadata(facts.network),
    ...modelMetadata('ss_sd_model_name', 'ss_sd_model_hash', 'ss_new_sd_model_hash', facts.model),
    ...modelMetadata('ss_vae_name', 'ss_vae_hash', 'ss_new_vae_hash', facts.vae),
    ...facts.data,
  }
}

/** What stays with `--no_metadata`: only what is needed to rebuild the network. */
export function minimalLoraMetadata(network: NetworkFacts): Record<string, string> {
  const { module, dim, alpha, args } = network
  return {
    ss_network_module: module,
    ss_network_dim: pythonStr(dim),
    ss_network_alpha: pythonStr(alpha === null ? 1 : float(alpha)),
    ...(args === undefined ? {} : { ss_network_args: pythonJson(args) }),
  }
}

function modelMetadata(
  nameKey: string,
  legacyKey: string,
  sha256Key: string,
  model: ModelFacts | undefined,
): Record<string, string> {
  if (model === undefined) return {}
  const { name, hashes } = model
  return {
    [nameKey]: name,
    ...(hashes === undefined ? {} : { [legacyKey]: hashes.legacy, [sha256Key]: hashes.sha256 }),
  }
}
