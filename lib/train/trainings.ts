/** The kinds of training, by the names of their commands. */

import type { TrainerName } from '../config/trainOptions.ts'
import type { TrainEvent } from './events.ts'
import type { TrainingKind } from './method.ts'
import { dreamBooth } from './methods/dreamBooth.ts'
import { fineTuning } from './methods/fineTune.ts'
import { textualInversion, xti } from './methods/trainInversion.ts'
import { networkTraining } from './methods/trainNetwork.ts'
import type { TrainingOptions } from './openTraining.ts'
import { train } from './train.ts'
import type { DreamBoothConfig, FineTuneConfig, TextualInversionConfig, TrainNetworkConfig } from './trainConfig.ts'

export interface TrainingConfigs {
  'fine-tune': FineTuneConfig
  'train-db': DreamBoothConfig
  'train-network': TrainNetworkConfig
  'train-textual-inversion': TextualInversionConfig
  'train-textual-inversion-xti': TextualInversionConfig
}

export const trainings: { readonly [Name in TrainerName]: TrainingKind<TrainingConfigs[Name]> } = {
  'fine-tune': fineTuning,
  'train-db': dreamBooth,
  'train-network': networkTraining,
  'train-textual-inversion': textualInversion,
  'train-textual-inversion-xti': xti,
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

/** Trains the embeddings of a new word. As {@link train}. */
export function trainTextualInversion(
  config: TextualInversionConfig,
  options: TrainingOptions = {},
): AsyncGenerator<TrainEvent> {
  return train(textualInversion, config, options)
}

/** Trains the embeddings of a new word for each cross-attention layer. As {@link train}. */
export function trainXti(config: TextualInversionConfig, options: TrainingOptions = {}): AsyncGenerator<TrainEvent> {
  return train(xti, config, options)
}
