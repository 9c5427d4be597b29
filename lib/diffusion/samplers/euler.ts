import { Course } from './course.ts'
import { NoiseLevels, pointAt } from './noiseLevels.ts'
import type { MakePlan } from './prediction.ts'

/** Euler's method (Karras et al., 2022, algorithm 1 without its correction). */
export const euler: MakePlan = (options) => {
  const { sigmas, times } = new NoiseLevels(options)
  const course = new Course()
  times.forEach((time, i) => {
    const { latents, slope } = pointAt(course, time, sigmas[i]!, options.predictionType)
    course.proceed(latents.plus(slope.times(sigmas[i + 1]! - sigmas[i]!)))
  })
  return { initialSigma: sigmas[0]!, calls: course.calls }
}
