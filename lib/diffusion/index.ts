export { type DdimOptions, DdimSampler } from './ddim.ts'
export { type LossWeighting, minSnrWeights, timestepWeights } from './lossWeights.ts'
export { type NoiseSchedule, type NoiseScheduleOptions, noiseSchedule } from './noiseSchedule.ts'
