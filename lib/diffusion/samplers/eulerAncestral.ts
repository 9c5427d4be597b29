import { Course } from './course.ts'
import { ancestralStep, NoiseLevels, pointAt } from './noiseLevels.ts'
import type { MakePlan } from './prediction.ts'

/** Euler's method that goes a little too far at each step and adds fresh noise. */
export const eulerAncestral: MakePlan = (options) => {
  const { sigmas, times } = new NoiseLevels(options)
  const course = new Course()
  times.forEach((time, i) => {
    const { latents, slope, noise } = pointAt(course, time, sigmas[i]!, options.predictionType)
    const { down, up } = ancestralStep(sigmas[i]!, sigmas[i + 1]!)
    course.proceed(latents.plus(slope.times(down - sigmas[i]!), noise.times(up)))
  })
  return { initialSigma: sigmas[0]!, calls: course.calls }
}
