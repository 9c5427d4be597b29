import { add } from '../ops/add.ts'
import { scale } from '../ops/scale.ts'
import { scope } from '../tensor/scope.ts'
import type { Tensor } from '../tensor/tensor.ts'
import { ArgumentError } from '../util/errors.ts'
import { type NoiseSchedule, noiseSchedule } from './noiseSchedule.ts'
import type { PredictionType } from './predictionType.ts'

export interface DdimOptions {
  /** Calls of the model, 1 to 999. */
  readonly steps: number
  readonly predictionType: PredictionType
  /** Default: that of Stable Diffusion. */
  readonly schedule?: NoiseSchedule
}

/**
 * Deterministic sampling (Song et al., "Denoising diffusion implicit models", 2021, equation 12 with sigma 0). It starts from
 * standard normal latents and ends without noise.
 */
export class DdimSampler {
  /** Of the model's calls, falling: every `1000 / steps`-th timestep, counted from 1. */
  readonly timesteps: readonly number[]
  readonly #predictionType: PredictionType
  readonly #alphas: Float32Array
  readonly #stride: number

  constructor({ steps, predictionType, schedule = noiseSchedule() }: DdimOptions) {
    const length = schedule.alphasCumprod.length
    if (!Number.isInteger(steps) || steps < 1 || steps >= length)
      throw new ArgumentError('DdimSampler', 'steps', `a whole number from 1 to ${length - 1}`, String(steps))
    this.#predictionType = predictionType
    this.#alphas = schedule.alphasCumprod
    this.#stride = Math.floor(length / steps)
    this.timesteps = Array.from({ length: steps }, (_, i) => this.#stride * (steps - 1 - i) + 1)
  }

  /**
   * The latents after a call of the model.
   * @param index which of `timesteps`
   * @param latents what the model was given
   * @param output what it predicted, in the shape of `latents`
   */
  step(index: number, latents: Tensor, output: Tensor): Tensor {
    const t = this.timesteps[index]
    if (t === undefined)
      throw new ArgumentError('DdimSampler', 'index', `less than ${this.timesteps.length}`, String(index))
    const { ofLatents, ofOutput } = this.coefficients(index)
    return scope(() => add(scale(latents, { factor: ofLatents }), scale(output, { factor: ofOutput })))
  }

  /** A step is linear: its result is `ofLatents latents + ofOutput output`. */
  coefficients(index: number): { readonly ofLatents: number; readonly ofOutput: number } {
    const t = this.timesteps[index]!
    const a = this.#alphas[t]!
    const next = t < this.#stride ? 1 : this.#alphas[t - this.#stride]!
    const [signal, noise] = [Math.sqrt(a), Math.sqrt(1 - a)]
    const [nextSignal, nextNoise] = [Math.sqrt(next), Math.sqrt(1 - next)]
    // epsilon: x0 = (x - noise e) / signal.  velocity: x0 = signal x - noise v, e = signal v + noise x.
    return this.#predictionType === 'epsilon'
      ? { ofLatents: nextSignal / signal, ofOutput: nextNoise - (nextSignal * noise) / signal }
      : { ofLatents: nextSignal * signal + nextNoise * noise, ofOutput: nextNoise * signal - nextSignal * noise }
  }
}
