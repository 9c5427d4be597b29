import { Course, type Sum } from './course.ts'
import { middleEstimate, noiseForm, pictureForm, type SnrPoint, type SolverForm, snrPoints } from './logSnr.ts'
import type { MakePlan } from './prediction.ts'

/** With fewer steps than this the last one is of first order. */
const fewSteps = 15

/**
 * Multistep methods of order 2 (Lu et al., "DPM-Solver++", 2022, algorithm 2, with midpoints): the estimate in the middle of a step
 * is extrapolated from the call before. They end with the noise of time 0.
 */
function multistep(form: SolverForm): MakePlan {
  return (options) => {
    const { steps, predictionType } = options
    const points = snrPoints(options)
    const course = new Course()
    let before: { readonly estimate: Sum; readonly point: SnrPoint } | null = null
    for (let i = 0; i < steps; i++) {
      const [from, to] = [points[i]!, points[i + 1]!]
      const met = course.call(from.time)
      const estimate = form.estimate(met, from.a, predictionType)
      const last = i === steps - 1 && steps < fewSteps
      const position = before === null ? 0 : (before.point.lambda - from.lambda) / (to.lambda - from.lambda)
      const mean = before === null || last ? estimate : middleEstimate(estimate, before.estimate, position)
      course.proceed(form.step(met.latents, mean, from, to))
      before = { estimate, point: from }
    }
    return { initialSigma: 1, calls: course.calls }
  }
}

export const dpmSolver = multistep(noiseForm)

export const dpmSolverPlusPlus = multistep(pictureForm)
