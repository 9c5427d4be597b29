import { Course } from './course.ts'
import { middleEstimate, pictureForm, snrPoints } from './logSnr.ts'
import type { MakePlan } from './prediction.ts'

/**
 * DPM-Solver++ of order 2 as a singlestep method (Lu et al., "DPM-Solver++", 2022, algorithm 1): a step of first order, then one from
 * the same start over twice the way, with the estimate that was found between. An odd last step is of first order.
 */
export const dpmSingle: MakePlan = (options) => {
  const { steps, predictionType } = options
  const points = snrPoints(options)
  const course = new Course()
  for (let i = 0; i < steps; i += 2) {
    const [from, between, to] = [points[i]!, points[i + 1]!, points[i + 2]]
    const start = course.call(from.time)
    const estimate = pictureForm.estimate(start, from.a, predictionType)
    course.proceed(pictureForm.step(start.latents, estimate, from, between))
    if (to === undefined) break
    const other = pictureForm.estimate(course.call(between.time), between.a, predictionType)
    const position = (between.lambda - from.lambda) / (to.lambda - from.lambda)
    course.proceed(pictureForm.step(start.latents, middleEstimate(estimate, other, position), from, to))
  }
  return { initialSigma: 1, calls: course.calls }
}
