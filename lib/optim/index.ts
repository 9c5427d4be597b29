export { AdamW, type AdamWSettings, adamWDefaults } from './adamW.ts'
export { AdamW8bit, type AdamW8bitSettings } from './adamW8bit.ts'
export { CustomOptimizer, type OptimizerClass, type OptimizerGroup, type UpdateFacts } from './customOptimizer.ts'
export {
  type LearningRateOptions,
  type LearningRateSchedule,
  learningRateMultiplier,
  learningRateSchedule,
  learningRateSchedules,
  torchLearningRateSchedules,
} from './learningRate.ts'
export {
  clipGradients,
  type Optimizer,
  type OptimizerParameter,
  type OptimizerState,
  type ParameterGroup,
  type StepOptions,
} from './optimizer.ts'
export type { RateFunction, StepCount, UserSchedule } from './schedules/schedule.ts'
