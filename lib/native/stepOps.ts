/** The part of the boundary to native code that steps parameters: 8-bit states, norms of gradients, optimizers. */
import type { Handle, MaybeHandle } from './handle.ts'

export interface StepOps {
  /** Codes and the scale of every 256 elements. */
  quantizeBlockwise(x: Handle, signed: boolean): [Handle, Handle]
  dequantizeBlockwise(codes: Handle, absmax: Handle, signed: boolean): Handle
  /** The 256 values that codes stand for. */
  quantizationMap(signed: boolean): Handle
  /** [norm, min(1, maxNorm / (norm + 1e-6)) / multiple] of gradients that are given as a multiple of themselves. */
  gradientNorm(gradients: readonly Handle[], maxNorm: number, multiple: number): Handle
  /**
   * Scales factors in place where the norm of their product, scale * sqrt(square), is above the limit. [products scaled, mean norm,
   * largest norm]
   */
  limitNorms(
    factors: readonly Handle[],
    factorCounts: readonly number[],
    squares: readonly Handle[],
    scales: readonly number[],
    maxNorm: number,
  ): Handle
  /**
   * One step for all parameters, in place. States and scales lie parameter by parameter; `streams` are of the random numbers of
   * stochastic rounding; `rows` chooses each parameter's 15 numbers from `constants`.
   */
  optimizerStep(
    rule: string,
    params: readonly Handle[],
    gradients: readonly Handle[],
    states: readonly MaybeHandle[],
    absmax: readonly MaybeHandle[],
    copies: readonly MaybeHandle[],
    streams: readonly number[],
    rows: readonly number[],
    constants: readonly number[],
    clip: MaybeHandle,
    decayAfter: boolean,
    skipInvalid: boolean,
    stochasticRounding: boolean,
    seed: bigint,
  ): void
  /**
   * One step of a learning-rate-free optimizer for all parameters, in place. States lie parameter by parameter; `rows` chooses each
   * parameter's 3 numbers from `groups`; `fresh` is 1 for those never stepped before; `scalars` holds the bits of 8 doubles.
   */
  adaptiveStep(
    rule: string,
    params: readonly Handle[],
    gradients: readonly Handle[],
    states: readonly MaybeHandle[],
    copies: readonly MaybeHandle[],
    rows: readonly number[],
    fresh: readonly number[],
    groups: readonly number[],
    settings: readonly number[],
    switches: number,
    slice: number,
    scalars: Handle,
    clip: MaybeHandle,
    stochasticRounding: boolean,
    seed: bigint,
  ): void
  /**
   * One step for all parameters, in place. States lie parameter by parameter; `axes` are four for each; `rows` chooses each
   * parameter's 12 numbers from `constants`; `rateIndex` is the place of its rate in `rates`, or -1.
   */
  tensorStep(
    rule: string,
    params: readonly Handle[],
    gradients: readonly Handle[],
    states: readonly MaybeHandle[],
    copies: readonly MaybeHandle[],
    streams: readonly number[],
    axes: readonly number[],
    rows: readonly number[],
    constants: readonly number[],
    rateIndex: readonly number[],
    rates: MaybeHandle,
    clip: MaybeHandle,
    stochasticRounding: boolean,
    seed: bigint,
  ): void
  /** One step for all matrices, in place: two sizes and five numbers for each, as native/ops/muon_step/muon_step.h names them. */
  muonStep(
    params: readonly Handle[],
    gradients: readonly Handle[],
    momenta: readonly Handle[],
    copies: readonly MaybeHandle[],
    streams: readonly number[],
    shapes: readonly number[],
    numbers: readonly number[],
    steps: number,
    half: boolean,
    clip: MaybeHandle,
    stochasticRounding: boolean,
    seed: bigint,
  ): void
}
