/** The loss of a batch: what a difference costs, how much each sample counts, and where in the picture. */
import { type LossWeighting, timestepWeights } from '../../diffusion/lossWeights.ts'
import type { NoiseSchedule } from '../../diffusion/noiseSchedule.ts'
import type { PredictionType } from '../../models/stableDiffusion/config.ts'
import { type ElementLossType, elementLoss } from '../../ops/elementLoss.ts'
import { tensor } from '../../tensor/create.ts'
import { scope } from '../../tensor/scope.ts'
import type { Tensor } from '../../tensor/tensor.ts'
import { ConfigError } from '../../util/errors.ts'

/** How the threshold of `huber` and `smooth_l1` follows the timestep. */
export type HuberSchedule = 'constant' | 'exponential' | 'snr'

export interface LossOptions extends LossWeighting {
  /** Default l2. */
  readonly type?: ElementLossType
  /** Default snr. */
  readonly huberSchedule?: HuberSchedule
  /** The threshold (constant), or that of the last timestep, from 1 at the first (exponential, snr). Positive. Default 0.1. */
  readonly huberC?: number
  /** Times the threshold, but for `snr`. Positive. Default 1. */
  readonly huberScale?: number
}

/** What a loss is made of. */
export interface LossInputs {
  /** Of the U-Net, [n, h, w, c], in its dtype; the gradient flows here. */
  readonly prediction: Tensor
  /** Noise or velocity, float32 [n, h, w, c]. */
  readonly target: Tensor
  /** Of the samples. */
  readonly timesteps: readonly number[]
  /** 1, or the prior loss weight for regularization pictures. */
  readonly lossWeights: readonly number[]
  /** float32 [n, h, w], each 0 to 1; null: everything counts. */
  readonly mask: Tensor | null
  /** `custom_attributes` of the samples, each as its subset has them. Default: not known. */
  readonly attributes?: readonly Readonly<Record<string, unknown>>[] | undefined
  readonly schedule: NoiseSchedule
  readonly predictionType: PredictionType
}

/** A loss of one's own: one float32 number, a tensor of shape [], of which the gradient is taken. Inputs belong to the caller. */
export type LossFunction = (inputs: LossInputs) => Tensor

/**
 * Checks options against each other and the model.
 * @throws ConfigError naming the option
 */
export function checkLossOptions(options: LossOptions, predictionType: PredictionType): void {
  const { huberC = 0.1, huberScale = 1, minSnrGamma, vPredLikeLoss, scaleVPredLossLikeNoisePred = false } = options
  const check = (option: string, right: boolean, message: string): void => {
    if (!right) throw new ConfigError(`${option} ${message}`, { option })
  }
  for (const [option, value] of [
    ['huber_c', huberC],
    ['huber_scale', huberScale],
  ] as const)
    check(option, value > 0 && Number.isFinite(value), `must be a positive number, found ${value}`)
  for (const [option, value] of [
    ['min_snr_gamma', minSnrGamma],
    ['v_pred_like_loss', vPredLikeLoss],
  ] as const)
    check(option, (value ?? 0) >= 0, `must be positive, or 0 for none, found ${value}`)
  check(
    'scale_v_pred_loss_like_noise_pred',
    !scaleVPredLossLikeNoisePred || predictionType === 'v_prediction',
    'is for models that predict velocity, and this one predicts noise: leave it out',
  )
  check(
    'v_pred_like_loss',
    !vPredLikeLoss || predictionType === 'epsilon',
    'is for models that predict noise, and this one predicts velocity: leave it out',
  )
}

/**
 * The thresholds of `huber` and `smooth_l1`: with s the standard deviation of the noise in that of the signal, c = `huberC` and T timesteps,
 * `c huberScale`, `c^(t/T) huberScale` or `(1 - c) / (1 + s)^2 + c`.
 * @returns one for each timestep
 */
export function huberThresholds(
  { alphasCumprod }: NoiseSchedule,
  timesteps: readonly number[],
  { huberSchedule = 'snr', huberC = 0.1, huberScale = 1 }: LossOptions,
): number[] {
  return timesteps.map((t) => {
    switch (huberSchedule) {
      case 'constant':
        return huberC * huberScale
      case 'exponential':
        return huberC ** (t / alphasCumprod.length) * huberScale
      case 'snr':
        return (1 - huberC) / (1 + Math.sqrt(1 / alphasCumprod[t]! - 1)) ** 2 + huberC
      default:
        return huberSchedule satisfies never
    }
  })
}

/**
 * The loss that options describe, `1/n sum_n w_n mean(mask_n l(prediction_n - target_n))` with w the product of `lossWeights` and all
 * weightings by timestep. The mean is over all of the picture, whatever the mask leaves out.
 */
export function weightedLoss(inputs: LossInputs, options: LossOptions): Tensor {
  const { prediction, target, mask } = inputs
  return scope(() => {
    const { weights, thresholds } = sampleTensors(inputs, options)
    return elementLoss(prediction, target, weights, thresholds, mask, { type: options.type ?? 'l2' })
  })
}

/** What {@link weightedLoss} knows of each sample, [n] on the device of the target; null where it does not matter. */
export function sampleTensors(
  { target, timesteps, lossWeights, schedule, predictionType }: Omit<LossInputs, 'prediction'>,
  options: LossOptions,
): { readonly weights: Tensor | null; readonly thresholds: Tensor | null } {
  const numbers = timestepWeights(schedule, timesteps, predictionType, options).map((w, i) => w * lossWeights[i]!)
  const perSample = (values: readonly number[]): Tensor => tensor(values, [values.length], { device: target.device })
  const bends = options.type === 'huber' || options.type === 'smooth_l1'
  return {
    weights: numbers.every((each) => each === 1) ? null : perSample(numbers),
    thresholds: bends ? perSample(huberThresholds(schedule, timesteps, options)) : null,
  }
}
