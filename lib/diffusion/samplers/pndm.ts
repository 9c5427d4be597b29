import { Course, type Sum } from './course.ts'
import { type MakePlan, noiseIn } from './prediction.ts'

/** Steps that are made with four calls each, before there is a history to go on from. */
const startSteps = 3
/** Weights of the latest four estimates, newest first: the Adams-Bashforth method. */
const history = [55 / 24, -59 / 24, 37 / 24, -9 / 24]

/**
 * Liu et al., "Pseudo numerical methods for diffusion models on manifolds", 2022: algorithm 2, with the Runge-Kutta start of
 * equation 13. Times as for DDIM, with half steps between; the last step ends with the noise of time 0. Needs four steps.
 *
 * Every output is turned into an estimate of the noise before estimates are combined, for velocity too: raw outputs of different
 * times do not add up, and combining them costs the method its order.
 */
export const pndm: MakePlan = ({ steps, predictionType, alphas }) => {
  const stride = Math.floor(alphas.length / steps)
  const half = Math.floor(stride / 2)
  const alphaAt = (t: number): number => alphas[Math.max(0, t)]!
  const course = new Course()
  const called = (t: number): { readonly latents: Sum; readonly noise: Sum } => {
    const met = course.call(t)
    return { latents: met.latents, noise: noiseIn(met, alphaAt(t), predictionType) }
  }
  /** Equation 11: latents of time t with this noise in them, at another time. */
  const proceed = (latents: Sum, t: number, to: number, noise: Sum): void => {
    const [a, b] = [alphaAt(t), alphaAt(to)]
    const ofNoise = (b - a) / (a * Math.sqrt(1 - b) + Math.sqrt(a * (1 - a) * b))
    course.proceed(latents.times(Math.sqrt(b / a)).minus(noise.times(ofNoise)))
  }

  const estimates: Sum[] = []
  for (let j = steps - 1; j >= 0; j--) {
    const t = stride * j + 1
    const next = t - stride
    const { latents, noise } = called(t)
    estimates.unshift(noise)
    if (steps - 1 - j < startSteps) {
      // Half the stride rounds down: seen from either end of the step, its middle differs by one where the stride is odd.
      const middle = next + half
      proceed(latents, t, t - half, noise)
      const second = called(middle).noise
      proceed(latents, t, middle, second)
      const third = called(middle).noise
      proceed(latents, t, middle - half, third)
      const fourth = called(next).noise
      const ends = noise.plus(fourth).times(1 / 6)
      proceed(latents, t, next, ends.plus(second.plus(third).times(1 / 3)))
    } else {
      const [first, ...rest] = history.map((weight, k) => estimates[k]!.times(weight))
      proceed(latents, t, next, first!.plus(...rest))
    }
  }
  return { initialSigma: 1, calls: course.calls }
}
