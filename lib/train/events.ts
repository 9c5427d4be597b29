/** What a training reports. The trainer is an async iterator of these; the command line and the event files only consume them. */

import type { LoggedOptions } from '../config/loggedOptions.ts'
import type { LossScalerState } from './step/lossScaler.ts'

/** The data has been read and the model loaded; training is about to begin. */
export interface StartEvent {
  readonly type: 'start'
  /** The seed in force, whether given or drawn. */
  readonly seed: number
  readonly totalSteps: number
  readonly epochCount: number
  readonly batchesPerEpoch: number
  readonly trainImageCount: number
  readonly regImageCount: number
  readonly trainableParameters: number
  readonly moduleCount: number
  /** The data set, in lines for people. */
  readonly report: readonly string[]
  /** What is to be done besides steps, for an estimate of the time left. Default: nothing that is known. */
  readonly planned?: PlannedWork | undefined
  /** Options in force, by name. Default: they are not to be logged. */
  readonly options?: LoggedOptions | undefined
}

/** When a kind of work is due. */
export interface Recurrence {
  /** Null: not by steps. */
  readonly everySteps: number | null
  /** Null: not by epochs. */
  readonly everyEpochs: number | null
  /** Whether it is also done after the last step. */
  readonly atEnd: boolean
}

/** Work besides steps, by the type of the events that report it. */
export type PlannedWork = Readonly<Partial<Record<'save' | 'state' | 'preview' | 'validation', Recurrence>>>

/** Something that is probably not meant, but can be trained. */
export interface WarningEvent {
  readonly type: 'warning'
  readonly message: string
}

/** How far a cache is filled, in latents (a mirrored picture has one of its own) or in different captions. */
export interface CacheEvent {
  readonly type: 'cache'
  readonly what: 'pictures' | 'captions'
  readonly done: number
  readonly total: number
  /** How many of those done had been made before. */
  readonly reused: number
  readonly perSecond: number
}

export interface EpochEvent {
  readonly type: 'epoch'
  /** Counted from 1. */
  readonly epoch: number
  readonly epochCount: number
}

/** One optimizer step. */
export interface StepEvent {
  readonly type: 'step'
  /** Counted from 1. */
  readonly step: number
  readonly totalSteps: number
  readonly epoch: number
  /** Mean over the step's micro-batches. */
  readonly loss: number
  /** Moving average over one epoch. */
  readonly averageLoss: number
  /** By parameter group: `textencoder`, `unet`. */
  readonly learningRates: Readonly<Record<string, number>>
  /** What an optimizer that finds its own step size made of them; null for others. */
  readonly effectiveLearningRates: Readonly<Record<string, number>> | null
  /** Before clipping. */
  readonly gradientNorm: number
  /** Steps of the training so far that changed nothing, because a gradient was not finite. */
  readonly skippedSteps: number
  /** After the step, of a training in float16: what the loss is multiplied by, and steps that overflowed. Default: it is not scaled. */
  readonly lossScaler?: LossScalerState | undefined
  /** Of the steps so far. */
  readonly stepsPerSecond: number
  /** After the step. Default: not measured. */
  readonly memory?: MemoryUse | undefined
  /** What the method measured, by its names in logs: `max_norm/keys_scaled`. Default: nothing. */
  readonly measures?: Readonly<Record<string, number>> | undefined
}

/** In bytes. */
export interface MemoryUse {
  /** What the process holds in the machine's memory. */
  readonly processBytes: number
  /** What tensors hold on the device of the training. */
  readonly liveBytes: number
  /** The most that tensors have held there. */
  readonly peakBytes: number
}

export interface EpochEndEvent {
  readonly type: 'epochEnd'
  readonly epoch: number
  readonly averageLoss: number
}

/** The loss on pictures that are not trained on. */
export interface ValidationEvent {
  readonly type: 'validation'
  /** What it was due by. */
  readonly by: 'step' | 'epoch'
  readonly step: number
  readonly epoch: number
  /** Mean over the validation pictures. */
  readonly loss: number
  /** The moving average of the training's own loss at that step, to compare with. */
  readonly trainingLoss: number
}

export interface SaveEvent {
  readonly type: 'save'
  readonly path: string
  readonly step: number
  readonly epoch: number
  readonly bytes: number
}

/** Everything that a training goes on from has been written to a folder. */
export interface StateEvent {
  readonly type: 'state'
  readonly path: string
  readonly step: number
  readonly epoch: number
  readonly bytes: number
}

/** A file or a state that newer ones replace was removed. */
export interface RemoveEvent {
  readonly type: 'remove'
  readonly path: string
  readonly what: 'weights' | 'state'
}

export interface PreviewEvent {
  readonly type: 'preview'
  /** A PNG file. */
  readonly path: string
  readonly prompt: string
  /** The prompt's place among the prompts, from 0. Default: 0. */
  readonly promptIndex?: number | undefined
  /** The seed of the picture's noise. Default: not known. */
  readonly seed?: number | undefined
  readonly step: number
  readonly epoch: number
}

export interface EndEvent {
  readonly type: 'end'
  readonly reason: 'finished' | 'interrupted'
  readonly step: number
  /** The file written last; null when the run was interrupted before its first step and wrote nothing. */
  readonly path: string | null
}

export type TrainEvent =
  | StartEvent
  | WarningEvent
  | CacheEvent
  | EpochEvent
  | StepEvent
  | EpochEndEvent
  | ValidationEvent
  | SaveEvent
  | StateEvent
  | RemoveEvent
  | PreviewEvent
  | EndEvent
