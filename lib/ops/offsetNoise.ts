import { defineOp } from '../autograd/defineOp.ts'
import { addon } from '../native/load.ts'
import { type Tensor, wrap } from '../tensor/tensor.ts'
import { ArgumentError } from '../util/errors.ts'
import { expectFloat, expectOption, expectRankAtLeast, expectShape } from './check.ts'

export interface OffsetNoiseOptions {
  /** Strength of the shift, in standard deviations of the noise. */
  readonly offset: number
  /** Adds this times the absolute mean of the sample's latents in the channel to the strength, which stays at least 0. Default 0. */
  readonly adaptiveScale?: number
  /** The key of the shift's random numbers, and which sequence under it (default 0), as for `randomNormal`. */
  readonly seed: number | bigint
  readonly stream?: number | bigint
}

/**
 * Noise whose mean is random too: `noise[n,...,c] + s z[n,c]`, z standard normal, s the offset. Training on it teaches a model to
 * move the mean of an image. Not differentiable.
 * @param noise [n, ..., c]
 * @param latents like `noise`; needed when `adaptiveScale` is not 0, else null
 * @returns like `noise`
 */
export const offsetNoise = defineOp<readonly [noise: Tensor, latents: Tensor | null], readonly [], OffsetNoiseOptions>(
  'offsetNoise',
  {
    inputs: ['noise', 'latents'],
    check([noise, latents], { offset, adaptiveScale = 0 }) {
      expectRankAtLeast('offsetNoise', 'noise', noise, 2)
      expectFloat('offsetNoise', 'noise', noise)
      expectOption('offsetNoise', 'offset', Number.isFinite(offset), 'a finite number', offset)
      expectOption('offsetNoise', 'adaptiveScale', Number.isFinite(adaptiveScale), 'a finite number', adaptiveScale)
      if (latents) {
        expectFloat('offsetNoise', 'latents', latents)
        expectShape('offsetNoise', 'latents', latents, noise.shape)
      } else if (adaptiveScale !== 0) {
        throw new ArgumentError('offsetNoise', 'latents', 'a Tensor where adaptiveScale is not 0', 'null')
      }
    },
    forward: ([noise, latents], { offset, adaptiveScale = 0, seed, stream = 0 }) =>
      wrap(
        addon.offsetNoiseForward(
          noise.handle,
          adaptiveScale === 0 ? null : latents!.handle,
          offset,
          adaptiveScale,
          BigInt.asUintN(64, BigInt(seed)),
          BigInt.asUintN(64, BigInt(stream)),
        ),
      ),
    backward: 'none',
  },
)
