import { defineOp } from '../autograd/defineOp.ts'
import { addon } from '../native/load.ts'
import { type Tensor, wrap } from '../tensor/tensor.ts'
import { expectDivisible, expectDType, expectOption, expectRank } from './check.ts'

export interface TimestepEmbeddingOptions {
  /** Width of the code; even. */
  readonly dim: number
  /** Longest period, over 2 pi, in timesteps. Default 10000. */
  readonly maxPeriod?: number
}

/**
 * The sinusoidal code of a diffusion time, cosines first: `[cos(t f_i), sin(t f_i)]`, `f_i = maxPeriod^(-i / (dim/2))`
 * (Vaswani et al., "Attention is all you need", 2017, section 3.5, without interleaving).
 * @param timesteps float32 or int32 [n]
 * @returns float32 [n, dim]
 */
export const timestepEmbedding = defineOp<readonly [timesteps: Tensor], readonly [], TimestepEmbeddingOptions>(
  'timestepEmbedding',
  {
    inputs: ['timesteps'],
    check([timesteps], { dim, maxPeriod = 10000 }) {
      expectDType('timestepEmbedding', 'timesteps', timesteps, 'float32', 'int32')
      expectRank('timestepEmbedding', 'timesteps', timesteps, 1)
      expectOption('timestepEmbedding', 'dim', Number.isInteger(dim) && dim > 0, 'a positive even number', dim)
      expectDivisible('timestepEmbedding', 'dim', dim, 'the halves', 2)
      expectOption('timestepEmbedding', 'maxPeriod', maxPeriod > 0, 'positive', maxPeriod)
    },
    forward: ([timesteps], { dim, maxPeriod = 10000 }) =>
      wrap(addon.timestepEmbeddingForward(timesteps.handle, dim, maxPeriod)),
    backward: 'none',
  },
)
