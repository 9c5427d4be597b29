/** Everything a training is told, as typed blocks. The command line and the library's users fill the same structures. */

import type { SaveModelAs } from '../checkpoints/writeModel.ts'
import type { DatasetFallbacks } from '../config/datasetConfig.ts'
import type { SamplerName } from '../config/samplerNames.ts'
import type { DatasetSource } from '../data/datasetGroup.ts'
import type { HubRepositoryType } from '../hub/hubId.ts'
import type { BlockWeights } from '../networks/blockWeights.ts'
import type { NetworkChoice } from '../networks/createNetwork.ts'
import type { SavePrecision } from '../networks/kohyaLora.ts'
import type { NetworkClass } from '../networks/network.ts'
import type { DeviceName } from '../tensor/tensor.ts'
import type { LoggingConfig } from './logs/logSinks.ts'
import type { TemplateKind } from './methods/inversionTemplates.ts'
import type { LoraPlusRatios } from './methods/parameterGroups.ts'
import type { OptimizerConfig } from './optimizerPlan.ts'
import type { RunStart } from './plan/runStart.ts'
import type { LossFunction, LossOptions } from './step/loss.ts'
import type { NoiseOptions } from './step/noise.ts'

/** `ckpt` and `pt` are PyTorch's container. */
export type SaveForm = SaveModelAs | 'pt'

/** What models are computed in: float32, float16 with a scaled loss, or bfloat16. */
export type MixedPrecision = 'no' | 'fp16' | 'bf16'

/** What `training.eightBitParts` may name. */
export type EightBitPart = 'unet' | 'textEncoder'

/** Texts for people. Null: none. */
export interface DescriptiveMetadata {
  readonly title?: string | null
  readonly author?: string | null
  readonly description?: string | null
  readonly license?: string | null
  readonly tags?: string | null
  readonly triggerPhrase?: string | null
  readonly usageHint?: string | null
  /** A picture as a `data:` address, as the specification asks. */
  readonly thumbnail?: string | null
  readonly mergedFrom?: string | null
  readonly preprocessor?: string | null
  readonly isNegativeEmbedding?: string | null
}

/** As {@link NoiseOptions}, without what follows from the run and the model. */
export interface NoiseConfig extends Partial<Omit<NoiseOptions, 'seed' | 'schedule' | 'predictionType'>> {
  /** The last timestep is noise alone. Default false. */
  readonly zeroTerminalSnr?: boolean
}

/** What goes to the Hugging Face hub, and what comes from there. */
export interface HubConfig {
  /** `owner/name` of the repository that saved files are uploaded to. Null: they are not. */
  readonly repository: string | null
  /** Default: model. */
  readonly type?: HubRepositoryType
  /** Folder of the repository. Default: its root. */
  readonly folder?: string | null
  /** Of a repository that is made. Default: private. */
  readonly visibility?: 'private' | 'public'
  /** Saved states are uploaded too. Default false. */
  readonly states?: boolean
  /** The training goes on during uploads, but for its end. Default false. */
  readonly background?: boolean
  /** It is written nowhere and shown nowhere. Null: that of the environment or of a login. */
  readonly token?: string | null
  /** `state.resume` is a folder of a repository: `owner/name/folder[:revision[:type]]`. Default false. */
  readonly resume?: boolean
}

/** What every kind of training is told. */
export interface TrainConfig {
  readonly model: {
    /** A checkpoint file, or a folder in the diffusers layout. */
    readonly path: string
    /** The model must be 2.x. False: the files tell. */
    readonly v2: boolean
    /** The model predicts velocity. False: the files tell; noise where they do not. */
    readonly vParameterization: boolean
    /** VAE in place of the model's own, in any form that `loadVae` takes. */
    readonly vae: string | null
    /** Hidden state that conditions the U-Net, counted from the end. Null: the last. */
    readonly clipSkip: number | null
    /** 75 (null), 150 or 225 caption tokens. */
    readonly maxTokenLength: 150 | 225 | null
  }
  readonly data: {
    readonly source: DatasetSource
    readonly fallbacks: DatasetFallbacks
    /** Weights of the loss come from mask pictures: `conditioning_data_dir` of the subsets, or the alpha channel. Default false. */
    readonly maskedLoss?: boolean
    /** Encode every picture once, before training, and keep the latents in memory. */
    readonly cacheLatents: boolean
    /** Keep the latents in files, which later runs use again. Implies `cacheLatents`. Default false. */
    readonly cacheLatentsToDisk?: boolean
    /** Folder of the caches of latents and text. Default: the user's cache folder. */
    readonly cacheFolder?: string | null
    /** Encode every caption once; only where neither the text encoder trains nor captions change. Default false. */
    readonly cacheTextEncoderOutputs?: boolean
    /** Keep encoded captions in files, which later runs use again. Implies `cacheTextEncoderOutputs`. Default false. */
    readonly cacheTextEncoderOutputsToDisk?: boolean
    readonly vaeBatchSize: number
    readonly priorLossWeight: number
    /** `(word:1.2)` and `[word]` in captions weigh their hidden states. Default false. */
    readonly weightedCaptions?: boolean
    /** Whether an unreadable picture ends the run or is left out with a warning, at the start or when it is met. Default error. */
    readonly onBadImage?: 'error' | 'skip'
    /** Whether a picture without a caption, and without `class_tokens` in its place, ends the run or has the empty one. Default error. */
    readonly onMissingCaption?: 'error' | 'warn'
    /** Take pictures as their pixels lie in the file, whatever orientation EXIF tells. Default false. */
    readonly ignoreExif?: boolean
    /** Whether keys of metadata may lead out of their `image_dir`. Default false. */
    readonly allowOutside?: boolean
    /** Pictures decoded at a time. Default 8, at most the number of processors. */
    readonly workers?: number
  }
  readonly optimizer: OptimizerConfig
  readonly training: {
    /** Optimizer steps; ignored when `maxEpochs` is given. */
    readonly maxSteps: number
    readonly maxEpochs: number | null
    readonly gradientAccumulationSteps: number
    readonly gradientCheckpointing: boolean
    readonly mixedPrecision: MixedPrecision
    /** Where everything is computed. A state goes on on any device; rounding differs between them. Default cpu. */
    readonly device?: DeviceName
    /** On a GPU, call each step op by op and not as a CUDA graph. Default false. */
    readonly noCudaGraphs?: boolean
    /**
     * On the CPU, memory for transformed weights of the U-Net's frozen convolutions, which make steps in float32 faster. Default 0.
     */
    readonly keptWeightsBytes?: number
    /**
     * In a training of the model's own weights, step each of them within the backward pass, as soon as its gradient is complete, and free the
     * gradient: the same bits, never all gradients in memory. Needs `optimizer.maxGradNorm` 0, `gradientAccumulationSteps` 1, another
     * `mixedPrecision` than fp16, and an optimizer with `beginStep`. Default false.
     */
    readonly fusedBackwardPass?: boolean
    /** The model's own weights that are trained are in the type of `mixedPrecision` too. Default false. */
    readonly fullPrecision?: boolean
    /**
     * Parts whose matrices are stored in 8 bits, with half the memory of 16. They must not be trained themselves. Default: none.
     */
    readonly eightBitParts?: readonly EightBitPart[]
    /** Compute the VAE in float32 whatever `mixedPrecision` says. Default false. */
    readonly noHalfVae?: boolean
    /** What becomes of a step whose loss or gradient is not finite. Default skip. */
    readonly onNonFinite?: 'skip' | 'stop'
    /** Steps skipped in a row that end the run. Default 10. */
    readonly maxSkippedSteps?: number
    /** Where a run begins that goes on from no state. Default: at its start. */
    readonly start?: RunStart | null
    /** Null: drawn at start, and reported. */
    readonly seed: number | null
  }
  /** Default: plain noise at all timesteps. */
  readonly noise?: NoiseConfig
  /** Or a function that computes the loss itself. Default: the mean squared error. */
  readonly loss?: LossOptions | LossFunction
  readonly output: {
    readonly folder: string
    /** Null: "last". */
    readonly name: string | null
    readonly saveEveryEpochs: number | null
    readonly saveEverySteps: number | null
    readonly savePrecision: SavePrecision | null
    /** Form of the files. Default: safetensors; of whole models, the form that the model came in; of vectors, pt. */
    readonly saveAs?: SaveForm | null
    /** How often to save over the run, after whole epochs; wins over `saveEveryEpochs`. Default: not. */
    readonly saveRatio?: number | null
    /** Of the files saved by epochs, those of so many last epochs stay. Default: all. */
    readonly keepLastEpochs?: number | null
    /** Of the files saved by steps, those of so many last steps stay. Default: all. */
    readonly keepLastSteps?: number | null
    /** Write only the metadata that other tools need to load the file. Default false. */
    readonly noMetadata?: boolean
    /** Write hashes in place of folder names and tags; counts stay. Default false. */
    readonly hashDatasetNames?: boolean
    /** What people should know about the file, kept in its metadata. Default: nothing. */
    readonly metadata?: DescriptiveMetadata
  }
  /** Measuring on pictures that are not trained on. Default: none. */
  readonly validation?: {
    /** Share of the pictures, where a dataset does not say it itself. Null or 0: none. */
    readonly split: number | null
    /** Of the choice of pictures and of their noise, where a dataset does not say it itself. Default: that of the training. */
    readonly seed?: number | null
    readonly everySteps?: number | null
    /** Default: 1, unless `everySteps` is given. */
    readonly everyEpochs?: number | null
    /** Batches that are measured. Default: all. */
    readonly maxBatches?: number | null
  }
  readonly state?: {
    /** Save what is needed to go on with every save, and at the end. Default false; an interrupted run always saves it. */
    readonly save?: boolean
    /** Save it at the end. Default false. */
    readonly saveAtEnd?: boolean
    /** As for the files of weights. Default: as those. */
    readonly keepLastEpochs?: number | null
    readonly keepLastSteps?: number | null
    /** Folder of a state to go on from, here or, with `hub.resume`, in a repository. Default: none. */
    readonly resume?: string | null
    /** Count epochs and steps from the start again after `resume`. Default false. */
    readonly restart?: boolean
  }
  /** Default: nothing. */
  readonly hub?: HubConfig
  readonly preview: {
    readonly promptFile: string | null
    readonly everyEpochs: number | null
    readonly everySteps: number | null
    /** Of prompts that name none. Default: ddim. */
    readonly sampler?: SamplerName
    /** Also before the first step. Default false. */
    readonly atFirst?: boolean
  }
  readonly logging: LoggingConfig
}

/** A training of a network beside a model that stays as it is. */
export interface TrainNetworkConfig extends TrainConfig {
  readonly network: {
    /** Null: not given, 4. */
    readonly dim: number | null
    /** Null: not given, 1. */
    readonly alpha: number | null
    readonly dropout: number | null
    /** A kind with its own options, or a class of your own. Default: plain LoRA. */
    readonly choice?: NetworkChoice | NetworkClass
    /** File to go on from. Default: none. */
    readonly weights?: string | null
    /** Modules, ranks and alphas are those of that file. Default false. */
    readonly dimFromWeights?: boolean
    /** Files merged into the model before the training, and how strongly. Multipliers that are missing are 1. */
    readonly baseWeights?: readonly string[]
    readonly baseWeightsMultiplier?: readonly number[]
    /** Limit for the norm of every module's change of its weight. Default: none. */
    readonly scaleWeightNorms?: number | null
    /** Of the U-Net's learning rate, by block; blocks of weight 0 get no modules. Default: none. */
    readonly blockWeights?: BlockWeights | null
    /** Rates of lora_up in relation to lora_down. Default: the same. */
    readonly loraPlus?: LoraPlusRatios | null
    /** `--network_args` as they were given, for the metadata. Default: none. */
    readonly args?: Readonly<Record<string, string>> | null
    readonly trainUnet: boolean
    readonly trainTextEncoder: boolean
    readonly trainingComment: string | null
  }
}

/** A training of the U-Net, and of the text encoder where asked for, on pictures with metadata. */
export interface FineTuneConfig extends TrainConfig {
  readonly fineTune: {
    readonly trainTextEncoder: boolean
    /** Null: that of the optimizer. */
    readonly textEncoderLearningRate: number | null
  }
}

/** A training of U-Net and text encoder on a few pictures of a subject, with regularization pictures of its class. */
export interface DreamBoothConfig extends TrainConfig {
  readonly dreamBooth: {
    /** Steps after which the text encoder stays as it is; negative: it is never trained. Null: to the end. */
    readonly stopTextEncoderTraining: number | null
    /** Null: that of the optimizer. */
    readonly textEncoderLearningRate: number | null
    /** Captions are as long as the longest of their batch. Default false. */
    readonly noTokenPadding?: boolean
  }
}

/** A training of the embeddings of a new word. */
export interface TextualInversionConfig extends TrainConfig {
  readonly inversion: {
    /** What stands for the embeddings in captions and prompts; no token of the vocabulary. */
    readonly tokenString: string
    /** Embeddings that it stands for, for each layer where they have their own. */
    readonly vectorCount: number
    /** Words that they start from. Null: random numbers, far away from all words. */
    readonly initWord: string | null
    /** File that they start from. */
    readonly weights: string | null
    /** Sentences in place of captions. Null: captions. */
    readonly template: TemplateKind | null
  }
}
