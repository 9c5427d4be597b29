/** How much noise each timestep of the diffusion process has, and what follows from it for the loss. */

import { ArgumentError } from '../util/errors.ts'
import type { PredictionType } from './predictionType.ts'

export interface NoiseScheduleOptions {
  /** Number of timesteps. Default 1000. */
  readonly steps?: number
  /** Variance of the first and last step. Default 0.00085 and 0.012, those of Stable Diffusion. */
  readonly betaStart?: number
  readonly betaEnd?: number
}

/** float32 tables over the timesteps. */
export interface NoiseSchedule {
  /** Variance added by each step. */
  readonly betas: Float32Array
  /** Share of the signal's variance that is left: the running product of 1 - beta. */
  readonly alphasCumprod: Float32Array
  /** Signal-to-noise ratio, alphasCumprod / (1 - alphasCumprod). */
  readonly snr: Float32Array
}

/**
 * The schedule of Stable Diffusion ("scaled linear": square roots of the variances are equally spaced; Rombach et al., 2022), with
 * the float32 roundings of the common implementation.
 */
export function noiseSchedule(options: NoiseScheduleOptions = {}): NoiseSchedule {
  const { steps = 1000, betaStart = 0.00085, betaEnd = 0.012 } = options
  if (!Number.isInteger(steps) || steps < 1)
    throw new ArgumentError('noiseSchedule', 'steps', 'a positive whole number', String(steps))
  if (!(betaStart > 0 && betaStart <= betaEnd && betaEnd < 1))
    throw new ArgumentError('noiseSchedule', 'betas', 'rising inside (0, 1)', `${betaStart} to ${betaEnd}`)
  const roots = linspace(Math.sqrt(betaStart), Math.sqrt(betaEnd), steps)
  const betas = roots.map((root) => root * root)
  const alphasCumprod = new Float32Array(steps)
  let product = 1
  for (let t = 0; t < steps; t++) {
    product *= Math.fround(1 - betas[t]!)
    alphasCumprod[t] = product
  }
  const snr = alphasCumprod.map((a) => a / Math.fround(1 - a))
  return { betas, alphasCumprod, snr }
}

/** Equally spaced float32 numbers, counted from the nearer end. */
function linspace(start: number, end: number, count: number): Float32Array {
  const [first, last] = [Math.fround(start), Math.fround(end)]
  const step = count > 1 ? Math.fround(Math.fround(last - first) / (count - 1)) : 0
  return Float32Array.from({ length: count }, (_, i) =>
    i < count / 2 ? first + step * i : last - step * (count - 1 - i),
  )
}

/**
 * Loss weights that limit the influence of nearly clean timesteps (Hang et al., "Efficient diffusion training via Min-SNR weighting
 * strategy", 2023): `min(snr, gamma) / snr` for models that predict noise, `min(snr, gamma) / (snr + 1)` for velocity.
 * @param timesteps of the samples
 * @param gamma positive; 5 in the paper
 * @returns one weight for each sample
 */
export function minSnrWeights(
  { snr }: NoiseSchedule,
  timesteps: readonly number[],
  gamma: number,
  predictionType: PredictionType,
): number[] {
  if (!(gamma > 0)) throw new ArgumentError('minSnrWeights', 'gamma', 'positive', String(gamma))
  return timesteps.map((t) => {
    const ratio = snr[t]
    if (ratio === undefined)
      throw new ArgumentError('minSnrWeights', 'timesteps', `whole numbers in [0, ${snr.length})`, String(t))
    return Math.min(ratio, gamma) / (predictionType === 'epsilon' ? ratio : ratio + 1)
  })
}
