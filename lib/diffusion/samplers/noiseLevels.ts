import type { PredictionType } from '../predictionType.ts'
import type { Course, Sum } from './course.ts'
import type { PlanOptions } from './prediction.ts'

/**
 * The view of Karras et al., "Elucidating the design space of diffusion-based generative models", 2022: latents are a picture plus
 * noise of a level sigma, and become the model's input by `1 / sqrt(sigma^2 + 1)`.
 */
export class NoiseLevels {
  /** Level of every step, falling, and 0 at the end: `steps + 1` numbers. */
  readonly sigmas: readonly number[]
  /** Time of every step: `steps` numbers, equally spaced from 999 to 0. */
  readonly times: readonly number[]
  readonly #logTable: readonly number[]

  constructor({ steps, alphas }: PlanOptions) {
    const table = Array.from(alphas, (a) => Math.sqrt((1 - a) / a))
    const last = table.length - 1
    this.times = Array.from({ length: steps }, (_, i) => (steps === 1 ? 0 : (last * (steps - 1 - i)) / (steps - 1)))
    this.sigmas = [...this.times.map((t) => interpolated(table, t)), 0]
    this.#logTable = table.map(Math.log)
  }

  /** Time of a level between those of the table, by its logarithm. */
  timeOf(sigma: number): number {
    const table = this.#logTable
    const log = Math.log(sigma)
    const above = table.findIndex((level) => level > log)
    const low = Math.max(0, (above === -1 ? table.length : above) - 1)
    const index = Math.min(low, table.length - 2)
    const share = (log - table[index]!) / (table[index + 1]! - table[index]!)
    return index + Math.min(1, Math.max(0, share))
  }
}

function interpolated(table: readonly number[], t: number): number {
  const low = Math.min(Math.floor(t), table.length - 2)
  return table[low]! + (t - low) * (table[low + 1]! - table[low]!)
}

/** A call of the model as a point of the path that the latents take as sigma falls. */
export interface PathPoint {
  readonly latents: Sum
  /** Change of the latents with sigma: (latents - picture) / sigma. */
  readonly slope: Sum
  readonly noise: Sum
}

export function pointAt(course: Course, time: number, sigma: number, predictionType: PredictionType): PathPoint {
  const variance = sigma * sigma + 1
  const { latents, output, noise } = course.call(time, 1 / Math.sqrt(variance))
  const slope =
    predictionType === 'epsilon' ? output : latents.times(sigma / variance).plus(output.times(1 / Math.sqrt(variance)))
  return { latents, slope, noise }
}

/** A step to a lower level as one to a still lower one, `down`, and noise of level `up` that brings it back. */
export function ancestralStep(sigma: number, next: number): { readonly down: number; readonly up: number } {
  const up = next * Math.sqrt((sigma * sigma - next * next) / (sigma * sigma))
  return { up, down: Math.sqrt(next * next - up * up) }
}
