import type { Sum } from './course.ts'
import { noiseIn, type PlanOptions, pictureIn } from './prediction.ts'

/** A time of DPM-Solver's schedule. */
export interface SnrPoint {
  readonly time: number
  /** Share of the signal's variance. */
  readonly a: number
  /** Factors of picture and noise: the roots of `a` and `1 - a`. */
  readonly alpha: number
  readonly sigma: number
  /** Half the logarithm of the signal-to-noise ratio: ln(alpha / sigma). It rises from point to point. */
  readonly lambda: number
}

/** Times that fall from 999 in equal steps, rounded to whole ones, and time 0, where DPM-Solver ends. */
export function snrPoints({ steps, alphas }: PlanOptions): readonly SnrPoint[] {
  const stride = (alphas.length - 1) / steps
  return Array.from({ length: steps + 1 }, (_, i) => {
    const time = roundHalfEven((steps - i) * stride)
    const a = alphas[time]!
    const [alpha, sigma] = [Math.sqrt(a), Math.sqrt(1 - a)]
    return { time, a, alpha, sigma, lambda: Math.log(alpha) - Math.log(sigma) }
  })
}

function roundHalfEven(x: number): number {
  const floor = Math.floor(x)
  const rest = x - floor
  return rest > 0.5 || (rest === 0.5 && floor % 2 === 1) ? floor + 1 : floor
}

/** Of what a solver takes the path to be made: DPM-Solver of the noise, DPM-Solver++ of the picture. */
export interface SolverForm {
  readonly estimate: typeof noiseIn
  /** Latents at another point, with one estimate for the whole way. */
  readonly step: (latents: Sum, estimate: Sum, from: SnrPoint, to: SnrPoint) => Sum
}

/** Lu et al., "DPM-Solver: a fast ODE solver for diffusion probabilistic model sampling", 2022, equation 3.7. */
export const noiseForm: SolverForm = {
  estimate: noiseIn,
  step: (latents, estimate, from, to) =>
    latents.times(to.alpha / from.alpha).minus(estimate.times(to.sigma * Math.expm1(to.lambda - from.lambda))),
}

/** Lu et al., "DPM-Solver++: fast solver for guided sampling of diffusion probabilistic models", 2022, equation 9. */
export const pictureForm: SolverForm = {
  estimate: pictureIn,
  step: (latents, estimate, from, to) =>
    latents.times(to.sigma / from.sigma).minus(estimate.times(to.alpha * Math.expm1(from.lambda - to.lambda))),
}

/**
 * The estimate in the middle of a way, by those at its start and at another point.
 * @param position of the other point: 0 at the start, 1 at the end, below 0 before the start
 */
export function middleEstimate(start: Sum, other: Sum, position: number): Sum {
  return start.plus(other.minus(start).times(1 / (2 * position)))
}
