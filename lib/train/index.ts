/** Training runs as async iterators of events, and the parts they are made of. */

export { BadPictures } from './badPictures.ts'
export { TrainingControls } from './controls.ts'
export type * from './events.ts'
export { CaptionEncoder, type CaptionEncoderOptions, captionOptions } from './inputs/conditioning.ts'
export { type FillOptions, type LatentBatch, LatentCache, type LatentCacheOptions } from './inputs/latentCache.ts'
export { cachesFolder, LatentStore } from './inputs/latentStore.ts'
export { encodePictures, pictureTensor } from './inputs/latents.ts'
export { type EncodesCaptions, TextCache, type TextCacheOptions, type TextFillOptions } from './inputs/textCache.ts'
export { type StatesLookup, TextStore } from './inputs/textStore.ts'
export { type HubUploadSinkOptions, hubUploadSink } from './logs/hubUploadSink.ts'
export { jsonLinesSink } from './logs/jsonLinesSink.ts'
export { logEvents } from './logs/logEvents.ts'
export type { LogContext, LogSink } from './logs/logSink.ts'
export { type LoggingConfig, logSinks } from './logs/logSinks.ts'
export { type EventWriter, openEventWriter } from './logs/tensorboard.ts'
export { type ScalarTags, tensorboardSink } from './logs/tensorboardSink.ts'
export { TimeLeft } from './logs/timeLeft.ts'
export { type WebhookSinkOptions, webhookSink } from './logs/webhookSink.ts'
export type {
  PreviewSource,
  RunIdentity,
  TrainingContext,
  TrainingKind,
  TrainingMethod,
} from './method.ts'
export { dreamBooth } from './methods/dreamBooth.ts'
export { fineTuning } from './methods/fineTune.ts'
export { LoraMethod, type LoraMethodOptions } from './methods/lora.ts'
export { NetworkMethod, type NetworkMethodOptions } from './methods/network.ts'
export { type GroupRates, type LoraPlusRatios, loraParameterGroups } from './methods/parameterGroups.ts'
export { type NetworkStart, type StartedNetwork, startNetwork } from './methods/startNetwork.ts'
export { TextualInversionMethod } from './methods/textualInversion.ts'
export { textualInversion, xti } from './methods/trainInversion.ts'
export { networkTraining } from './methods/trainNetwork.ts'
export { XtiMethod } from './methods/xti.ts'
export type { TrainingOptions } from './openTraining.ts'
export { type OptimizerConfig, type OptimizerPlan, planOptimizer } from './optimizerPlan.ts'
export { type NetworkArguments, readNetworkArguments } from './options/networkArguments.ts'
export { type DebugDatasetOptions, type ParsedTraining, parseTraining } from './options/parseTraining.ts'
export type { RunStart } from './plan/runStart.ts'
export type { StepPlan } from './plan/schedule.ts'
export { type ScheduleCurves, scheduleCurves } from './plan/scheduleCurves.ts'
export { planTraining, type TrainingPlan } from './plan/trainingPlan.ts'
export {
  checkLossOptions,
  type HuberSchedule,
  type LossFunction,
  type LossInputs,
  type LossOptions,
  weightedLoss,
} from './step/loss.ts'
export { LossScaler, type LossScalerOptions, type LossScalerState } from './step/lossScaler.ts'
export { type BatchKey, drawTimesteps, makeNoisy, type NoiseOptions, type NoisyBatch } from './step/noise.ts'
export type { StepFault } from './step/stepFault.ts'
export {
  type StepMethod,
  type TrainBatch,
  TrainingStep,
  type TrainingStepOptions,
  type UpdateResult,
} from './step/trainingStep.ts'
export { train } from './train.ts'
export type {
  DreamBoothConfig,
  FineTuneConfig,
  TextualInversionConfig,
  TrainConfig,
  TrainNetworkConfig,
} from './trainConfig.ts'
export { type RunOptions, Trainer } from './trainer.ts'
export {
  fineTune,
  type TrainingConfigs,
  trainDreamBooth,
  trainings,
  trainNetwork,
  trainTextualInversion,
  trainXti,
} from './trainings.ts'
export { type ResumeReport, type VerifyResumeOptions, verifyResume } from './verifyResume.ts'
