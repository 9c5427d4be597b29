import { Course, type Sum } from './course.ts'
import { NoiseLevels, pointAt } from './noiseLevels.ts'
import type { MakePlan } from './prediction.ts'

const maxOrder = 4

/** Linear multistep method of order 4: the polynomial through the latest slopes, integrated over the step. */
export const lms: MakePlan = (options) => {
  const { sigmas, times } = new NoiseLevels(options)
  const course = new Course()
  const slopes: Sum[] = []
  times.forEach((time, i) => {
    const { latents, slope } = pointAt(course, time, sigmas[i]!, options.predictionType)
    slopes.unshift(slope)
    const order = Math.min(i + 1, maxOrder)
    const levels = Array.from({ length: order }, (_, k) => sigmas[i - k]!)
    course.proceed(latents.plus(...levels.map((_, j) => slopes[j]!.times(weightOf(j, levels, sigmas[i + 1]!)))))
  })
  return { initialSigma: sigmas[0]!, calls: course.calls }
}

/** The integral from `levels[0]` to `end` of the Lagrange polynomial that is 1 at `levels[j]` and 0 at the others. */
function weightOf(j: number, levels: readonly number[], end: number): number {
  const [middle, half] = [(levels[0]! + end) / 2, (end - levels[0]!) / 2]
  const polynomial = (sigma: number): number =>
    levels.reduce((product, level, k) => (k === j ? product : (product * (sigma - level)) / (levels[j]! - level)), 1)
  // Gauss's rule with two nodes is exact up to degree 3.
  const offset = half / Math.sqrt(3)
  return half * (polynomial(middle - offset) + polynomial(middle + offset))
}
