/** What a kind of training is: what learns, how captions condition, what is saved. It owns no loop. */
import type { AcceptedData } from '../config/datasetKinds.ts'
import type { DatasetGroup } from '../data/datasetGroup.ts'
import type { WritableFileSystem } from '../io/atomicWrite.ts'
import type { ClipTokenizer } from '../models/clip/tokenizer.ts'
import type { ModelPart, StableDiffusion } from '../models/stableDiffusion/stableDiffusion.ts'
import type { UNet } from '../models/stableDiffusion/unet.ts'
import type { SaveFacts } from '../networks/metadata.ts'
import type { OptimizerGroup } from '../optim/customOptimizer.ts'
import type { CacheEvent, WarningEvent } from './events.ts'
import type { OptimizerPlan } from './optimizerPlan.ts'
import type { StepPlan } from './plan/schedule.ts'
import type { StepMethod } from './step/trainingStep.ts'
import type { TrainConfig } from './trainConfig.ts'

/** What a method is made from. */
export interface TrainingContext<Config extends TrainConfig = TrainConfig> {
  readonly config: Config
  readonly seed: number
  readonly group: DatasetGroup
  /** Disposed by whoever made the context, after the method. */
  readonly models: StableDiffusion
  readonly tokenizer: ClipTokenizer
  readonly optimizerPlan: OptimizerPlan
  readonly plan: StepPlan
  /** Of the run, kept over resumes. */
  readonly run: RunIdentity
  readonly fileSystem?: WritableFileSystem | undefined
}

/** What the metadata of files tells runs apart by. */
export interface RunIdentity {
  readonly sessionId: number
  /** Unix time in seconds. */
  readonly startedAt: number
}

/** What previews are drawn with, made from a file that was written. */
export interface PreviewSource {
  readonly models: StableDiffusion
  /** One, or one for each cross-attention layer. */
  readonly tokenizer: ClipTokenizer | readonly ClipTokenizer[]
  /** What a prompt is replaced by before it is read. */
  readonly expandPrompt?: (prompt: string) => string
  /** Puts the models back as they were and frees what was read. */
  close(): void
}

/** One training's way: made by a {@link TrainingKind}, or a class of your own. */
export interface TrainingMethod extends StepMethod {
  /** Computes with what is trained. */
  readonly unet: UNet
  /** What is trained, in groups that share a rate. */
  readonly groups: readonly OptimizerGroup[]
  /** Modules, or parts of the model, that learn. */
  readonly moduleCount: number
  /** Of its files, with the dot; empty for folders. */
  readonly extension: string
  /** What the user should know. */
  readonly warnings?: readonly string[]
  /** Work before the first step, such as filling a cache. */
  prepare?(signal: AbortSignal | undefined): AsyncIterable<CacheEvent | WarningEvent>
  /**
   * Called before every optimizer step.
   * @param step steps done
   * @returns what to tell the user
   */
  beginStep?(step: number): readonly string[]
  /** Called after every batch's backward pass and the update that may follow it. What it measured goes into the step's event. */
  afterPass?(): Promise<Readonly<Record<string, number>>> | undefined
  /** Whether random parts of the forward pass, such as dropout, are on: they are off while something is measured. */
  setTraining?(on: boolean): void
  /** Writes what was trained, whole or not at all. @returns the bytes written */
  write(path: string, facts: SaveFacts): Promise<number>
  /** Reads a file that was written back, to draw with. */
  openPreview(path: string): Promise<PreviewSource>
  dispose(): void
}

/** A kind of training. */
export interface TrainingKind<Config extends TrainConfig = TrainConfig> {
  /** As commands name it; part of states. */
  readonly name: string
  /** Name of the log's inner folder. */
  readonly trackerName: string
  /** The data it takes. Default: everything. */
  readonly accepts?: AcceptedData
  /** Whether `lossWeights` of pictures, the prior loss weight, count. Default true. */
  readonly weighsPictures?: boolean
  /** Whether `create` changes weights of the model, before any training. Default false. */
  mergesFirst?(config: Config): boolean
  /** Parts of the model whose own weights are trained. */
  trainedParts(config: Config): readonly ModelPart[]
  /** Parts that learn in any way, in the order of the groups. */
  trainedGroups(config: Config): readonly ('textencoder' | 'unet')[]
  create(context: TrainingContext<Config>): TrainingMethod | Promise<TrainingMethod>
}
