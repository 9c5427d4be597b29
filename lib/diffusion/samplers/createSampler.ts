import { isSamplerName, type SamplerName, samplerNames } from '../../config/samplerNames.ts'
import type { Tensor } from '../../tensor/tensor.ts'
import { ArgumentError } from '../../util/errors.ts'
import { didYouMean } from '../../util/nearest.ts'
import { noiseSchedule } from '../noiseSchedule.ts'
import type { PredictionType } from '../predictionType.ts'
import type { SamplerPlan } from './course.ts'
import { ddim } from './ddim.ts'
import { dpm2, dpm2Ancestral } from './dpm2.ts'
import { dpmSingle } from './dpmSingle.ts'
import { dpmSolver, dpmSolverPlusPlus } from './dpmSolver.ts'
import { euler } from './euler.ts'
import { eulerAncestral } from './eulerAncestral.ts'
import { heun } from './heun.ts'
import { lms } from './lms.ts'
import { pndm } from './pndm.ts'
import type { MakePlan } from './prediction.ts'
import { SamplerRun, type SamplerRunOptions } from './samplerRun.ts'

interface Row {
  readonly plan: MakePlan
  /** Steps it can be asked for. */
  readonly least: number
  readonly most: number
}

// A thousand steps would need a time beyond the last, or one time twice.
const ofWholeTimes = (plan: MakePlan, least = 1): Row => ({ plan, least, most: 999 })
const ofNoiseLevels = (plan: MakePlan): Row => ({ plan, least: 1, most: 1000 })

const table: Readonly<Record<SamplerName, Row>> = {
  ddim: ofWholeTimes(ddim),
  pndm: ofWholeTimes(pndm, 4),
  lms: ofNoiseLevels(lms),
  euler: ofNoiseLevels(euler),
  euler_a: ofNoiseLevels(eulerAncestral),
  heun: ofNoiseLevels(heun),
  dpm_2: ofNoiseLevels(dpm2),
  dpm_2_a: ofNoiseLevels(dpm2Ancestral),
  dpmsolver: ofWholeTimes(dpmSolver),
  'dpmsolver++': ofWholeTimes(dpmSolverPlusPlus),
  dpmsingle: ofWholeTimes(dpmSingle),
  k_lms: ofNoiseLevels(lms),
  k_euler: ofNoiseLevels(euler),
  k_euler_a: ofNoiseLevels(eulerAncestral),
  k_dpm_2: ofNoiseLevels(dpm2),
  k_dpm_2_a: ofNoiseLevels(dpm2Ancestral),
}

/** The steps that a sampler can be asked for. */
export function samplerSteps(name: SamplerName): { readonly least: number; readonly most: number } {
  const { least, most } = table[name]
  return { least, most }
}

export interface SamplerOptions {
  /** Steps from noise to picture: 1 to 999, for `pndm` 4 to 999, for samplers with `k_` names and `heun` 1 to 1000. */
  readonly steps: number
  /** What the model predicts. */
  readonly predictionType: PredictionType
}

/** A way from noise to a picture in a number of calls of a model. It holds no tensors; `start` does. */
export class Sampler implements SamplerPlan {
  readonly name: SamplerName
  readonly initialSigma: number
  readonly calls: SamplerPlan['calls']

  constructor(name: SamplerName, { initialSigma, calls }: SamplerPlan) {
    this.name = name
    this.initialSigma = initialSigma
    this.calls = calls
  }

  /**
   * Begins a drawing.
   * @param noise standard normal, float32, of the latents' shape; the sampler brings it to its initial sigma
   */
  start(noise: Tensor, options: SamplerRunOptions): SamplerRun {
    return new SamplerRun(this, noise, options)
  }
}

/**
 * A sampler for models trained with the noise schedule of Stable Diffusion, with the times and formulas of sd-scripts v0.6.6: DDIM and
 * PNDM count times from 1 and do not clip, PNDM starts with Runge-Kutta steps, DPM-Solver ends at time 0 and not without noise.
 * Calls of the model for n steps: n; PNDM n + 9; heun, dpm_2 and dpm_2_a 2n - 1.
 * @param name one of {@link samplerNames}
 * @throws ArgumentError for another name, and for steps out of the sampler's range
 */
export function createSampler(name: SamplerName, { steps, predictionType }: SamplerOptions): Sampler {
  if (!isSamplerName(name)) {
    const received = `"${String(name)}".${didYouMean(String(name), samplerNames)}`
    throw new ArgumentError('createSampler', 'name', `one of ${samplerNames.join(', ')}`, received)
  }
  const { plan, least, most } = table[name]
  if (!Number.isInteger(steps) || steps < least || steps > most) {
    throw new ArgumentError(
      'createSampler',
      'steps',
      `a whole number from ${least} to ${most} for ${name}`,
      String(steps),
    )
  }
  return new Sampler(name, plan({ steps, predictionType, alphas: noiseSchedule().alphasCumprod }))
}
