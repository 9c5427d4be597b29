export { type DdimOptions, DdimSampler } from './ddim.ts'
export { minSnrWeights, type NoiseSchedule, type NoiseScheduleOptions, noiseSchedule } from './noiseSchedule.ts'
