import { Course } from './course.ts'
import { NoiseLevels, pointAt } from './noiseLevels.ts'
import type { MakePlan } from './prediction.ts'

/** Heun's method (Karras et al., 2022, algorithm 1): the mean of the slopes at both ends of a step. The last step is Euler's. */
export const heun: MakePlan = (options) => {
  const { sigmas, times } = new NoiseLevels(options)
  const course = new Course()
  times.forEach((time, i) => {
    const { latents, slope } = pointAt(course, time, sigmas[i]!, options.predictionType)
    const length = sigmas[i + 1]! - sigmas[i]!
    course.proceed(latents.plus(slope.times(length)))
    if (i + 1 === times.length) return
    const end = pointAt(course, times[i + 1]!, sigmas[i + 1]!, options.predictionType)
    course.proceed(latents.plus(slope.plus(end.slope).times(length / 2)))
  })
  return { initialSigma: sigmas[0]!, calls: course.calls }
}
