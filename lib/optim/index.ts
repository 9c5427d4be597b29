export { Adadelta, type AdadeltaSettings } from './adadelta.ts'
export { AdaFactor, type AdaFactorSettings } from './adaFactor.ts'
export { Adagrad, type AdagradSettings } from './adagrad.ts'
export { Adam, type AdamSettings } from './adam.ts'
export { Adamax, type AdamaxSettings } from './adamax.ts'
export { AdamW, type AdamWSettings, adamWDefaults } from './adamW.ts'
export { AdamW8bit, type AdamW8bitSettings } from './adamW8bit.ts'
export {
  type AdaptiveDefinition,
  AdaptiveOptimizer,
  type AdaptiveOptimizerSettings,
  type EpsSettings,
  type GrowthSettings,
} from './adaptiveOptimizer.ts'
export { describeLowRate, describeUnequalRates } from './adaptiveRates.ts'
export { AdEMAMix, AdEMAMix8bit, type AdEMAMixSettings } from './adEMAMix.ts'
export { type AdjustedPlan, adjustOptimizer, type RatePlan } from './adjustOptimizer.ts'
export { ASGD, type ASGDSettings } from './asgd.ts'
export {
  type BitsAndBytesEntry,
  type BitsAndBytesStateDict,
  fromBitsAndBytes,
  type ToBitsAndBytesOptions,
  toBitsAndBytes,
} from './bitsandbytes.ts'
export { Came, type CameSettings } from './came.ts'
export { CustomOptimizer, type OptimizerClass, type OptimizerGroup, type UpdateFacts } from './customOptimizer.ts'
export { DAdaptAdaGrad, type DAdaptAdaGradSettings } from './dAdaptAdaGrad.ts'
export {
  DAdaptAdam,
  DAdaptAdamPreprint,
  type DAdaptAdamPreprintSettings,
  type DAdaptAdamSettings,
} from './dAdaptAdam.ts'
export { DAdaptAdan, DAdaptAdanIP, type DAdaptAdanSettings } from './dAdaptAdan.ts'
export { DAdaptLion, type DAdaptLionSettings } from './dAdaptLion.ts'
export { DAdaptSGD, type DAdaptSGDSettings } from './dAdaptSgd.ts'
export type { EightBitSettings } from './eightBit.ts'
export {
  type LearningRateOptions,
  type LearningRateSchedule,
  learningRateMultiplier,
  learningRateSchedule,
  learningRateSchedules,
  torchLearningRateSchedules,
} from './learningRate.ts'
export { Lion, Lion8bit, type LionSettings } from './lion.ts'
export { Muon, type MuonSettings } from './muon.ts'
export { NAdam, type NAdamSettings } from './nAdam.ts'
export { findNonFinite, findNonFiniteValues } from './nonFinite.ts'
export {
  clipGradients,
  inEvaluation,
  type Optimizer,
  type OptimizerParameter,
  type OptimizerState,
  type ParameterGroup,
  type StepInParts,
  type StepOptions,
} from './optimizer.ts'
export {
  type BaseDefinition,
  type DueSlot,
  OptimizerBase,
  type OptimizerSettings,
  type ParameterSlot,
  type RoundingSettings,
  type StateKeeping,
  type StepFacts,
} from './optimizerBase.ts'
export { PagedAdamW, PagedAdamW8bit, PagedLion8bit } from './paged.ts'
export type { PagedSettings } from './pagedStates.ts'
export { Prodigy, type ProdigySettings } from './prodigy.ts'
export { RAdam, type RAdamSettings } from './rAdam.ts'
export { createOptimizer, findOptimizer, type OptimizerRow, optimizerNames } from './registry.ts'
export { RMSprop, type RMSpropSettings } from './rmsProp.ts'
export { Rprop, type RpropSettings } from './rprop.ts'
export {
  type RuleDefinition,
  RuleOptimizer,
  type RuleVariant,
  type StateStart,
} from './ruleOptimizer.ts'
export {
  AdamWScheduleFree,
  type AdamWScheduleFreeSettings,
  RAdamScheduleFree,
  type RAdamScheduleFreeSettings,
  SGDScheduleFree,
  type SGDScheduleFreeSettings,
} from './scheduleFree.ts'
export type { RateFunction, StepCount, UserSchedule } from './schedules/schedule.ts'
export { SeparableOptimizer } from './separableOptimizer.ts'
export { SGD, SGDNesterov, SGDNesterov8bit, type SGDNesterov8bitSettings, type SGDSettings } from './sgd.ts'
export { StableAdamW, type StableAdamWSettings } from './stableAdamW.ts'
