import { defineOp } from '../autograd/defineOp.ts'
import { addon } from '../native/load.ts'
import { type Tensor, wrap } from '../tensor/tensor.ts'
import { expectDType, expectFloat, expectRank, expectRankAtLeast, expectShape } from './check.ts'

type Inputs = readonly [latents: Tensor, noise: Tensor, timesteps: Tensor, alphasCumprod: Tensor]

const inputs = ['latents', 'noise', 'timesteps', 'alphasCumprod'] as const

function check(op: string, [latents, noise, timesteps, alphasCumprod]: Inputs): void {
  expectRankAtLeast(op, 'latents', latents, 1)
  expectFloat(op, 'latents', latents)
  expectFloat(op, 'noise', noise)
  expectShape(op, 'noise', noise, latents.shape)
  expectDType(op, 'timesteps', timesteps, 'int32')
  expectShape(op, 'timesteps', timesteps, [latents.dim(0)])
  expectDType(op, 'alphasCumprod', alphasCumprod, 'float32')
  expectRank(op, 'alphasCumprod', alphasCumprod, 1)
}

/**
 * The forward process of diffusion (Ho et al., "Denoising diffusion probabilistic models", 2020, equation 4), each sample at its
 * own time: `sqrt(a) latents + sqrt(1 - a) noise` with `a = alphasCumprod[timesteps[n]]`. Timesteps outside the table are found when
 * the op runs. Not differentiable.
 * @param latents [n, ...]; `noise` has the same shape, `timesteps` is int32 [n], `alphasCumprod` float32 [steps]
 * @returns like `latents`
 */
export const addNoise = defineOp<Inputs, readonly [], Record<never, never>>('addNoise', {
  inputs,
  check: (tensors) => check('addNoise', tensors),
  forward: ([latents, noise, timesteps, alphasCumprod]) =>
    wrap(addon.addNoiseForward(latents.handle, noise.handle, timesteps.handle, alphasCumprod.handle)),
  backward: 'none',
})

/**
 * The target of velocity prediction (Salimans and Ho, "Progressive distillation", 2022, appendix D):
 * `sqrt(a) noise - sqrt(1 - a) latents`. Inputs and result as for `addNoise`.
 */
export const velocity = defineOp<Inputs, readonly [], Record<never, never>>('velocity', {
  inputs,
  check: (tensors) => check('velocity', tensors),
  forward: ([latents, noise, timesteps, alphasCumprod]) =>
    wrap(addon.velocityForward(latents.handle, noise.handle, timesteps.handle, alphasCumprod.handle)),
  backward: 'none',
})
