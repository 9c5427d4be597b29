/** Training runs as async iterators of events, and the parts they are made of. */
export { CaptionEncoder, type CaptionEncoderOptions } from './conditioning.ts'
export type * from './events.ts'
export { type FillOptions, type LatentBatch, LatentCache, type LatentCacheOptions } from './latentCache.ts'
export { cachesFolder, LatentStore } from './latentStore.ts'
export { encodePictures, pictureTensor } from './latents.ts'
export { logEvents } from './logEvents.ts'
export {
  checkLossOptions,
  type HuberSchedule,
  type LossFunction,
  type LossInputs,
  type LossOptions,
  weightedLoss,
} from './loss.ts'
export { LoraMethod, type LoraMethodOptions } from './methods/lora.ts'
export { type BatchKey, drawTimesteps, makeNoisy, type NoiseOptions, type NoisyBatch } from './noise.ts'
export { type OptimizerConfig, type OptimizerPlan, planOptimizer } from './optimizerPlan.ts'
export { type GroupRates, type LoraPlusRatios, loraParameterGroups } from './parameterGroups.ts'
export { type ScheduleCurves, scheduleCurves } from './scheduleCurves.ts'
export { type EventWriter, openEventWriter } from './tensorboard.ts'
export { type EncodesCaptions, TextCache } from './textCache.ts'
export { type TrainBatch, Trainer, type TrainerOptions, type TrainingMethod } from './trainer.ts'
export { planTraining, type TrainingPlan } from './trainingPlan.ts'
export { type TrainNetworkOptions, trainNetwork } from './trainNetwork.ts'
export type { TrainNetworkConfig } from './trainNetworkConfig.ts'
export { type DebugDatasetOptions, type ParsedTrainNetwork, parseTrainNetwork } from './trainNetworkOptions.ts'
