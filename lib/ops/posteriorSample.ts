import { defineOp } from '../autograd/defineOp.ts'
import { addon } from '../native/load.ts'
import { type Tensor, wrap } from '../tensor/tensor.ts'
import { expectDType, expectFloat, expectShape } from './check.ts'

/**
 * Draws from the VAE's posterior: mean + exp(logvar / 2) * noise, with logvar clamped to [-30, 20]. Not differentiable.
 * @param moments [..., 2c]: [mean ; logvar]
 * @param noise standard normal, float32 [..., c]
 * @returns float32 [..., c]
 */
export const posteriorSample = defineOp<readonly [moments: Tensor, noise: Tensor], readonly [], Record<never, never>>(
  'posteriorSample',
  {
    inputs: ['moments', 'noise'],
    check([moments, noise]) {
      expectFloat('posteriorSample', 'moments', moments)
      expectDType('posteriorSample', 'noise', noise, 'float32')
      expectShape('posteriorSample', 'noise', noise, [...moments.shape.slice(0, -1), moments.dim(-1) / 2])
    },
    forward: ([moments, noise]) => wrap(addon.posteriorSampleForward(moments.handle, noise.handle)),
    backward: 'none',
  },
)
