import { Course } from './course.ts'
import { ancestralStep, NoiseLevels, pointAt } from './noiseLevels.ts'
import type { MakePlan } from './prediction.ts'

/**
 * Midpoint methods in the logarithm of sigma: DPM-Solver-2 (Lu et al., "DPM-Solver", 2022, algorithm 1) as Karras et al., 2022,
 * describe it. Each step but the last makes two calls.
 */
function midpoint(ancestral: boolean): MakePlan {
  return (options) => {
    const { predictionType } = options
    const levels = new NoiseLevels(options)
    const { sigmas, times } = levels
    const course = new Course()
    times.forEach((time, i) => {
      const [sigma, next] = [sigmas[i]!, sigmas[i + 1]!]
      const { latents, slope } = pointAt(course, time, sigma, predictionType)
      const { down, up } = ancestral ? ancestralStep(sigma, next) : { down: next, up: 0 }
      const middle = Math.sqrt(sigma * down) // 0 in the last step, which ends with the picture that this call sees
      course.proceed(latents.plus(slope.times(middle - sigma)))
      if (middle === 0) return
      const between = pointAt(course, levels.timeOf(middle), middle, predictionType)
      course.proceed(latents.plus(between.slope.times(down - sigma), between.noise.times(up)))
    })
    return { initialSigma: sigmas[0]!, calls: course.calls }
  }
}

export const dpm2 = midpoint(false)

/** The same with steps that go a little too far and add fresh noise. */
export const dpm2Ancestral = midpoint(true)
