import { Course } from './course.ts'
import { type MakePlan, noiseIn, pictureIn } from './prediction.ts'

/**
 * Song et al., "Denoising diffusion implicit models", 2021, equation 12 with sigma 0. Every `1000 / steps`-th time is used, counted
 * from 1; the last step ends without noise.
 */
export const ddim: MakePlan = ({ steps, predictionType, alphas }) => {
  const stride = Math.floor(alphas.length / steps)
  const course = new Course()
  for (let j = steps - 1; j >= 0; j--) {
    const t = stride * j + 1
    const a = alphas[t]!
    const nextA = alphas[t - stride] ?? 1
    const met = course.call(t)
    const picture = pictureIn(met, a, predictionType)
    const noise = noiseIn(met, a, predictionType)
    course.proceed(picture.times(Math.sqrt(nextA)).plus(noise.times(Math.sqrt(1 - nextA))))
  }
  return { initialSigma: 1, calls: course.calls }
}
