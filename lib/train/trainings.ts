/** The kinds of training, by the names of their commands. */
import type { TrainEvent } from './events.ts'
import type { TrainingKind } from './method.ts'
import { dreamBooth } from './methods/dreamBooth.ts'
import { fineTuning } from './methods/fineTune.ts'
import { networkTraining } from './methods/trainNetwork.ts'
import type { TrainingOptions } from './openTraining.ts'
import type { DreamBoothConfig, FineTuneConfig, TrainNetworkConfig } from './trainConfig.ts'
import { train } from './trainer.ts'

export interface TrainingConfigs {
  'fine-tune': FineTuneConfig
  'train-db': DreamBoothConfig
  'train-network': TrainNetworkConfig
}

export const trainings: { readonly [Name in keyof TrainingConfigs]: TrainingKind<TrainingConfigs[Name]> } = {
  'fine-tune': fineTuning,
  'train-db': dreamBooth,
  'train-network': networkTraining,
}

/** Trains U-Net, and text encoder where asked for, on pictures with metadata. As {@link train}. */
export function fineTune(config: FineTuneConfig, options: TrainingOptions = {}): AsyncGenerator<TrainEvent> {
  return train(fineTuning, config, options)
}

/** Trains U-Net and text encoder on a few pictures of a subject. As {@link train}. */
export function trainDreamBooth(config: DreamBoothConfig, options: TrainingOptions = {}): AsyncGenerator<TrainEvent> {
  return train(dreamBooth, config, options)
}

/** Trains a network beside the model. As {@link train}. */
export function trainNetwork(config: TrainNetworkConfig, options: TrainingOptions = {}): AsyncGenerator<TrainEvent> {
  return train(networkTraining, config, options)
}
