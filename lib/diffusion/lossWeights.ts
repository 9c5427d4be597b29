/** How much the loss of a sample counts, by its timestep. */
import { ArgumentError } from '../util/errors.ts'
import type { NoiseSchedule } from './noiseSchedule.ts'
import type { PredictionType } from './predictionType.ts'

/** The signal-to-noise ratio at each timestep. */
function ratiosAt(op: string, { snr }: NoiseSchedule, timesteps: readonly number[]): number[] {
  return timesteps.map((t) => {
    const ratio = snr[t]
    if (ratio === undefined) throw new ArgumentError(op, 'timesteps', `whole numbers in [0, ${snr.length})`, String(t))
    return ratio
  })
}

/**
 * Loss weights that limit the influence of nearly clean timesteps (Hang et al., "Efficient diffusion training via Min-SNR weighting
 * strategy", 2023): `min(snr, gamma) / snr` for models that predict noise, `min(snr, gamma) / (snr + 1)` for velocity.
 * @param timesteps of the samples
 * @param gamma positive; 5 in the paper
 * @returns one weight for each sample
 */
export function minSnrWeights(
  schedule: NoiseSchedule,
  timesteps: readonly number[],
  gamma: number,
  predictionType: PredictionType,
): number[] {
  if (!(gamma > 0)) throw new ArgumentError('minSnrWeights', 'gamma', 'positive', String(gamma))
  return ratiosAt('minSnrWeights', schedule, timesteps).map(
    (snr) => Math.min(snr, gamma) / (predictionType === 'epsilon' ? snr : snr + 1),
  )
}

/** Weightings of the loss by timestep. They are multiplied. */
export interface LossWeighting {
  /** Of `minSnrWeights`. Null or 0: none. Default null. */
  readonly minSnrGamma?: number | null
  /** For velocity: times `snr / (snr + 1)`, the scale that the loss of noise has. Default false. */
  readonly scaleVPredLossLikeNoisePred?: boolean
  /** For noise: plus this times the loss that velocity would have, `loss (snr + 1) / snr`. Null or 0: none. Default null. */
  readonly vPredLikeLoss?: number | null
  /**
   * Times `1 / sqrt(snr)` for noise (Yu et al., "Debias the training of diffusion models", 2023), `1 / (snr + 1)` for velocity. Default
   * false.
   */
  readonly debiasedEstimation?: boolean
}

/** At the first timestep nearly nothing is noise; for all but `minSnrWeights` its ratio counts as this. */
const largestSnr = 1000

/**
 * The product of all weightings.
 * @param timesteps of the samples
 * @returns one weight for each sample
 */
export function timestepWeights(
  schedule: NoiseSchedule,
  timesteps: readonly number[],
  predictionType: PredictionType,
  weighting: LossWeighting,
): number[] {
  const { minSnrGamma, scaleVPredLossLikeNoisePred = false, vPredLikeLoss, debiasedEstimation = false } = weighting
  const minSnr = minSnrGamma ? minSnrWeights(schedule, timesteps, minSnrGamma, predictionType) : null
  return ratiosAt('timestepWeights', schedule, timesteps).map((ratio, i) => {
    const snr = Math.min(ratio, largestSnr)
    const likeNoise = scaleVPredLossLikeNoisePred ? snr / (snr + 1) : 1
    const withVelocity = 1 + ((vPredLikeLoss ?? 0) * (snr + 1)) / snr
    const debiased = predictionType === 'epsilon' ? 1 / Math.sqrt(snr) : 1 / (snr + 1)
    return (minSnr?.[i] ?? 1) * likeNoise * withVelocity * (debiasedEstimation ? debiased : 1)
  })
}
