/** Everything a LoRA training is told, as typed blocks. The command line and the library's users fill the same structure. */

import type { DatasetFallbacks } from '../config/datasetConfig.ts'
import type { DatasetSource } from '../data/datasetGroup.ts'
import type { BlockWeights } from '../networks/blockWeights.ts'
import type { SavePrecision } from '../networks/kohyaLora.ts'
import type { OptimizerConfig } from './optimizerPlan.ts'
import type { LoraPlusRatios } from './parameterGroups.ts'

export interface TrainNetworkConfig {
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
    /** Encode every picture once, before training, and keep the latents in memory. */
    readonly cacheLatents: boolean
    /** Keep the latents in files, which later runs use again. Implies `cacheLatents`. Default false. */
    readonly cacheLatentsToDisk?: boolean
    /** Folder of the caches of latents and text. Default: the user's cache folder. */
    readonly cacheFolder?: string | null
    /** Encode every caption once; only where neither the text encoder trains nor captions change. Default false. */
    readonly cacheTextEncoderOutputs?: boolean
    readonly vaeBatchSize: number
    readonly priorLossWeight: number
    /** `(word:1.2)` and `[word]` in captions weigh their hidden states. Default false. */
    readonly weightedCaptions?: boolean
    /** Whether an unreadable picture ends the run or is left out with a warning. Default error. */
    readonly onBadImage?: 'error' | 'skip'
    /** Take pictures as their pixels lie in the file, whatever orientation EXIF tells. Default false. */
    readonly ignoreExif?: boolean
    /** Whether keys of metadata may lead out of their `image_dir`. Default false. */
    readonly allowOutside?: boolean
    /** Pictures decoded at a time. Default 8, at most the number of processors. */
    readonly workers?: number
  }
  readonly network: {
    /** Null: not given, 4. */
    readonly dim: number | null
    /** Null: not given, 1. */
    readonly alpha: number | null
    readonly dropout: number | null
    /** Of the U-Net's learning rate, by block; blocks of weight 0 get no modules. Default: none. */
    readonly blockWeights?: BlockWeights | null
    /** Rates of lora_up in relation to lora_down. Default: the same. */
    readonly loraPlus?: LoraPlusRatios | null
    /** `--network_args` as they were given, for the metadata. Default: none. */
    readonly args?: Readonly<Record<string, string>> | null
    readonly trainUnet: boolean
    readonly trainTextEncoder: boolean
    readonly trainingComment: string | null
    readonly noMetadata: boolean
  }
  readonly optimizer: OptimizerConfig
  readonly training: {
    /** Optimizer steps; ignored when `maxEpochs` is given. */
    readonly maxSteps: number
    readonly maxEpochs: number | null
    readonly gradientAccumulationSteps: number
    readonly gradientCheckpointing: boolean
    readonly mixedPrecision: 'no' | 'bf16'
    /** Null: drawn at start, and reported. */
    readonly seed: number | null
    readonly noiseOffset: number | null
    readonly adaptiveNoiseScale: number | null
    readonly minSnrGamma: number | null
  }
  readonly output: {
    readonly folder: string
    /** Null: "last". */
    readonly name: string | null
    readonly saveEveryEpochs: number | null
    readonly saveEverySteps: number | null
    readonly savePrecision: SavePrecision | null
  }
  readonly preview: {
    readonly promptFile: string | null
    readonly everyEpochs: number | null
    readonly everySteps: number | null
  }
  readonly logging: {
    /** Null: no event files. */
    readonly folder: string | null
    readonly prefix: string
    readonly trackerName: string
  }
}
