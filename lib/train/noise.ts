/** What a training step adds to its latents and asks the U-Net to find again. */
import type { NoiseSchedule } from '../diffusion/noiseSchedule.ts'
import type { PredictionType } from '../models/stableDiffusion/config.ts'
import { streamOf } from '../nn/init.ts'
import { addNoise, velocity } from '../ops/addNoise.ts'
import { concatBatch } from '../ops/concatBatch.ts'
import { offsetNoise } from '../ops/offsetNoise.ts'
import { randomNormal, tensor } from '../tensor/create.ts'
import { scope } from '../tensor/scope.ts'
import type { Tensor } from '../tensor/tensor.ts'
import { PhiloxStream } from '../util/philox.ts'

export interface NoiseOptions {
  readonly seed: bigint
  readonly schedule: NoiseSchedule
  readonly predictionType: PredictionType
  /** Null or 0: none. */
  readonly noiseOffset: number | null
  readonly adaptiveNoiseScale: number | null
}

/** Which batch of the run: with the seed, the key of all its random numbers. */
export interface BatchKey {
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

/** Times uniform in [0, T), one for each sample, a function of the key. */
export function drawTimesteps(count: number, { seed, schedule }: NoiseOptions, { epoch, batch }: BatchKey): number[] {
  return Array.from({ length: count }, (_, slot) =>
    new PhiloxStream(seed, 'timestep', epoch, batch, slot).integer(schedule.alphasCumprod.length),
  )
}

/**
 * Draws noise and times for a batch and mixes them in.
 * @param latents float32 [n, h, w, c], already multiplied by the scaling factor
 */
export function makeNoisy(latents: Tensor, options: NoiseOptions, key: BatchKey): NoisyBatch {
  const { seed, schedule, predictionType, noiseOffset, adaptiveNoiseScale } = options
  const [count, h, w, c] = latents.shape as readonly [number, number, number, number]
  const name = (what: string, slot: number | string): bigint => streamOf(`${what}/${key.epoch}/${key.batch}/${slot}`)
  return scope(() => {
    const samples = Array.from({ length: count }, (_, slot) =>
      randomNormal([1, h, w, c], { seed, stream: name('noise', slot) }),
    )
    const plain = concatBatch(samples)
    const noise = noiseOffset
      ? offsetNoise(plain, latents, {
          offset: noiseOffset,
          adaptiveScale: adaptiveNoiseScale ?? 0,
          seed,
          stream: name('offset', 'batch'),
        })
      : plain
    const timesteps = drawTimesteps(count, options, key)
    const indices = tensor(Int32Array.from(timesteps), [count])
    const table = tensor(schedule.alphasCumprod, [schedule.alphasCumprod.length])
    return {
      noisy: addNoise(latents, noise, indices, table),
      target: predictionType === 'epsilon' ? noise : velocity(latents, noise, indices, table),
      times: tensor(Float32Array.from(timesteps), [count]),
      timesteps,
    }
  })
}
