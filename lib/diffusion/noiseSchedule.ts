/** How much noise each timestep of the diffusion process has, and what follows from it for the loss. */

import { ArgumentError } from '../util/errors.ts'

export interface NoiseScheduleOptions {
  /** Number of timesteps. Default 1000. */
  readonly steps?: number
  /** Variance of the first and last step. Default 0.00085 and 0.012, those of Stable Diffusion. */
  readonly betaStart?: number
  readonly betaEnd?: number
  /** Whether the last timestep is noise and nothing else; see `zeroTerminalSnr`. Default false. */
  readonly zeroTerminalSnr?: boolean
}

/** float32 tables over the timesteps. */
export interface NoiseSchedule {
  /** Variance added by each step. */
  readonly betas: Float32Array
  /** Share of the signal's variance that is left: the running product of 1 - beta. */
  readonly alphasCumprod: Float32Array
  /**
   * Signal-to-noise ratio, alphasCumprod / (1 - alphasCumprod), that weighs losses. With `zeroTerminalSnr` that of the schedule it was made
   * of, so that no weight is divided by 0.
   */
  readonly snr: Float32Array
}

/**
 * The schedule of Stable Diffusion ("scaled linear": square roots of the variances are equally spaced; Rombach et al., 2022), with
 * the float32 roundings of the common implementation.
 */
export function noiseSchedule(options: NoiseScheduleOptions = {}): NoiseSchedule {
  const { steps = 1000, betaStart = 0.00085, betaEnd = 0.012, zeroTerminalSnr = false } = options
  if (!Number.isInteger(steps) || steps < 1)
    throw new ArgumentError('noiseSchedule', 'steps', 'a positive whole number', String(steps))
  if (!(betaStart > 0 && betaStart <= betaEnd && betaEnd < 1))
    throw new ArgumentError('noiseSchedule', 'betas', 'rising inside (0, 1)', `${betaStart} to ${betaEnd}`)
  const roots = linspace(Math.sqrt(betaStart), Math.sqrt(betaEnd), steps)
  const betas = roots.map((root) => root * root)
  const alphasCumprod = products(betas)
  const snr = alphasCumprod.map((a) => a / Math.fround(1 - a))
  if (!zeroTerminalSnr) return { betas, alphasCumprod, snr }
  const shifted = shiftedBetas(alphasCumprod)
  return { betas: shifted, alphasCumprod: products(shifted), snr }
}

/** The running product of 1 - beta, each rounded to float32. */
function products(betas: Float32Array): Float32Array {
  let product = 1
  return betas.map((beta) => {
    product *= Math.fround(1 - beta)
    return product
  })
}

/**
 * Betas whose last timestep has no signal left: the signal's standard deviation is shifted so that it ends at 0, and scaled so that it
 * begins as before (Lin et al., "Common diffusion noise schedules and sample steps are flawed", 2023, algorithm 1).
 */
function shiftedBetas(alphasCumprod: Float32Array): Float32Array {
  const signals = alphasCumprod.map(Math.sqrt)
  const [first, last] = [signals[0]!, signals.at(-1)!]
  if (first === last)
    throw new ArgumentError(
      'noiseSchedule',
      'steps',
      'more than one with zeroTerminalSnr',
      String(alphasCumprod.length),
    )
  const factor = Math.fround(first / Math.fround(first - last))
  const alphas = signals.map((signal) => Math.fround(Math.fround(signal - last) * factor) ** 2)
  return alphas.map((alpha, t) => 1 - Math.fround(t === 0 ? alpha : alpha / alphas[t - 1]!))
}

/** Equally spaced float32 numbers, counted from the nearer end. */
function linspace(start: number, end: number, count: number): Float32Array {
  const [first, last] = [Math.fround(start), Math.fround(end)]
  const step = count > 1 ? Math.fround(Math.fround(last - first) / (count - 1)) : 0
  return Float32Array.from({ length: count }, (_, i) =>
    i < count / 2 ? first + step * i : last - step * (count - 1 - i),
  )
}
