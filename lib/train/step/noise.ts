/** What a training step adds to its latents and asks the U-Net to find again. */
import type { NoiseSchedule } from '../../diffusion/noiseSchedule.ts'
import type { PredictionType } from '../../models/stableDiffusion/config.ts'
import { streamOf } from '../../nn/init.ts'
import { add } from '../../ops/add.ts'
import { addNoise, velocity } from '../../ops/addNoise.ts'
import { concatBatch } from '../../ops/concatBatch.ts'
import { offsetNoise } from '../../ops/offsetNoise.ts'
import { scale } from '../../ops/scale.ts'
import { randomNormal, tensor } from '../../tensor/create.ts'
import { scope } from '../../tensor/scope.ts'
import type { Tensor } from '../../tensor/tensor.ts'
import { ArgumentError } from '../../util/errors.ts'
import { PhiloxStream } from '../../util/philox.ts'
import { multiresNoise, octaveSizes } from './multiresNoise.ts'

export interface NoiseOptions {
  readonly seed: bigint
  readonly schedule: NoiseSchedule
  readonly predictionType: PredictionType
  /** The first timestep that is drawn. Default 0. */
  readonly minTimestep?: number | null
  /** The timestep after the last that is drawn; the same as `minTimestep`: always that one. Default: the length of the schedule. */
  readonly maxTimestep?: number | null
  /** Strength of a random shift of each channel. Null or 0: none. */
  readonly noiseOffset: number | null
  /** Adds this times the absolute mean of the channel's latents to `noiseOffset`. Null: 0. */
  readonly adaptiveNoiseScale: number | null
  /** Whether `noiseOffset` is the largest strength, of which each batch takes a random share. Default false. */
  readonly noiseOffsetRandomStrength?: boolean
  /** Octaves that `multiresNoise` adds, at most, after the offset. Null or 0: none. Default null. */
  readonly multiresNoiseIterations?: number | null
  /** How strong each octave is in relation to the one before. Default 0.3. */
  readonly multiresNoiseDiscount?: number
  /**
   * Strength of further noise that the model sees but is not asked for (Ning et al., "Input perturbation reduces exposure bias in diffusion
   * models", 2023). Null or 0: none. Default null.
   */
  readonly ipNoiseGamma?: number | null
  /** Whether `ipNoiseGamma` is the largest strength, of which each batch takes a random share. Default false. */
  readonly ipNoiseGammaRandomStrength?: boolean
}

/** Which batch of the run: with the seed, the key of all its random numbers. */
export interface BatchKey {
  /** From 1; 0 is free for batches that do not train. */
  readonly epoch: number
  /** Position in the epoch, from 0. */
  readonly batch: number
}

export interface NoisyBatch {
  /** Latents with noise, [n, h, w, c]. */
  readonly noisy: Tensor
  /** Noise or velocity, as the model predicts. */
  readonly target: Tensor
  /** float32 [n], as the U-Net takes them. */
  readonly times: Tensor
  /** The same numbers. */
  readonly timesteps: readonly number[]
}

/**
 * The timesteps that are drawn: the first, and the one after the last; the same twice for always one.
 * @throws ArgumentError for limits outside of the schedule or in the wrong order
 */
export function timestepRange(
  { minTimestep, maxTimestep }: Pick<NoiseOptions, 'minTimestep' | 'maxTimestep'>,
  steps: number,
): readonly [first: number, end: number] {
  const [first, end] = [minTimestep ?? 0, maxTimestep ?? steps]
  if (!Number.isInteger(first) || first < 0 || first >= steps)
    throw new ArgumentError('drawTimesteps', 'minTimestep', `a whole number from 0 to ${steps - 1}`, String(first))
  if (!Number.isInteger(end) || end < first || end > steps)
    throw new ArgumentError('drawTimesteps', 'maxTimestep', `a whole number from ${first} to ${steps}`, String(end))
  return [first, end]
}

/**
 * Times uniform in [minTimestep, maxTimestep), one for each sample, a function of the key.
 * @throws ArgumentError as `timestepRange`
 */
export function drawTimesteps(count: number, options: NoiseOptions, { epoch, batch }: BatchKey): number[] {
  const { seed, schedule } = options
  const [first, end] = timestepRange(options, schedule.alphasCumprod.length)
  if (first === end) return new Array<number>(count).fill(first)
  return Array.from(
    { length: count },
    (_, slot) => first + new PhiloxStream(seed, 'timestep', epoch, batch, slot).integer(end - first),
  )
}

/**
 * Draws noise and times for a batch and mixes them in.
 * @param latents float32 [n, h, w, c], already multiplied by the scaling factor
 * @param timesteps one for each sample, in place of drawn ones
 */
export function makeNoisy(
  latents: Tensor,
  options: NoiseOptions,
  key: BatchKey,
  timesteps: readonly number[] = drawTimesteps(latents.dim(0), options, key),
): NoisyBatch {
  const { schedule, predictionType } = options
  const { device } = latents
  return scope(() => {
    const noise = drawNoise(latents, options, key)
    const indices = tensor(Int32Array.from(timesteps), [timesteps.length], { device })
    const table = tensor(schedule.alphasCumprod, [schedule.alphasCumprod.length], { device })
    return {
      noisy: addNoise(latents, perturbed(noise, options, key), indices, table),
      target: predictionType === 'epsilon' ? noise : velocity(latents, noise, indices, table),
      times: tensor(Float32Array.from(timesteps), [timesteps.length], { device }),
      timesteps,
    }
  })
}

/** The noise that the model is asked for: plain, shifted by the offset, with octaves. */
function drawNoise(latents: Tensor, options: NoiseOptions, key: BatchKey): Tensor {
  const { seed, noiseOffset, adaptiveNoiseScale, multiresNoiseIterations, multiresNoiseDiscount = 0.3 } = options
  const { shape, device } = latents
  const [n, h, w, c] = shape as readonly [number, number, number, number]
  let noise = normals('noise', latents, options, key)
  if (noiseOffset) {
    noise = offsetNoise(noise, latents, {
      offset: noiseOffset * share('noise offset', options.noiseOffsetRandomStrength, options, key),
      adaptiveScale: adaptiveNoiseScale ?? 0,
      seed,
      stream: streamOf(`offset/${key.epoch}/${key.batch}/batch`),
    })
  }
  if (!multiresNoiseIterations) return noise
  const ratios = new PhiloxStream(seed, 'octaves', key.epoch, key.batch)
  const octaves = octaveSizes([h, w], multiresNoiseIterations, () => ratios.float()).map(([height, width], i) =>
    normals(`octave ${i}`, { shape: [n, height, width, c], device }, options, key),
  )
  return multiresNoise(noise, octaves, multiresNoiseDiscount)
}

/** The noise that the model sees. */
function perturbed(noise: Tensor, options: NoiseOptions, key: BatchKey): Tensor {
  const { ipNoiseGamma, ipNoiseGammaRandomStrength } = options
  if (!ipNoiseGamma) return noise
  const factor = ipNoiseGamma * share('ip noise', ipNoiseGammaRandomStrength, options, key)
  return add(noise, scale(normals('ip noise', noise, options, key), { factor }))
}

/** Standard normal numbers of a tensor's shape, beside it; those of each sample are a function of its place in the batch. */
function normals(
  purpose: string,
  { shape, device }: Pick<Tensor, 'shape' | 'device'>,
  { seed }: NoiseOptions,
  { epoch, batch }: BatchKey,
): Tensor {
  const samples = Array.from({ length: shape[0]! }, (_, slot) =>
    randomNormal([1, ...shape.slice(1)], { seed, stream: streamOf(`${purpose}/${epoch}/${batch}/${slot}`), device }),
  )
  return concatBatch(samples)
}

/** A random share of a strength, uniform in [0, 1), the same for all of a batch; 1 where it is not random. */
function share(purpose: string, random = false, { seed }: NoiseOptions, { epoch, batch }: BatchKey): number {
  return random ? new PhiloxStream(seed, `${purpose} strength`, epoch, batch).float() : 1
}
