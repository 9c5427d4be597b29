import type { PredictionType } from '../predictionType.ts'
import type { Met, SamplerPlan, Sum } from './course.ts'

/** What a plan is made from. */
export interface PlanOptions {
  readonly steps: number
  readonly predictionType: PredictionType
  /** Share of the signal's variance at each whole time: `alphasCumprod` of the noise schedule. */
  readonly alphas: Float32Array
}

export type MakePlan = (options: PlanOptions) => SamplerPlan

/** The noise in the latents, by the model's output. @param a share of the signal's variance at the call's time */
export function noiseIn({ latents, output }: Met, a: number, predictionType: PredictionType): Sum {
  return predictionType === 'epsilon' ? output : output.times(Math.sqrt(a)).plus(latents.times(Math.sqrt(1 - a)))
}

/** The picture in the latents, by the model's output. @param a share of the signal's variance at the call's time */
export function pictureIn({ latents, output }: Met, a: number, predictionType: PredictionType): Sum {
  return predictionType === 'epsilon'
    ? latents.minus(output.times(Math.sqrt(1 - a))).times(1 / Math.sqrt(a))
    : latents.times(Math.sqrt(a)).minus(output.times(Math.sqrt(1 - a)))
}
