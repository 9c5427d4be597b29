import { cast } from '../ops/cast.ts'
import { scale } from '../ops/scale.ts'
import { full, randomNormal, randomUniform } from '../tensor/create.ts'
import { scope } from '../tensor/scope.ts'
import type { Shape } from '../tensor/shape.ts'
import type { DeviceName, Tensor } from '../tensor/tensor.ts'
import type { WeightSource } from './weights.ts'

/** A 64-bit stream number for a name (FNV-1a), so that each parameter has random numbers of its own. */
export function streamOf(name: string): bigint {
  let hash = 0xcbf29ce484222325n
  for (const byte of new TextEncoder().encode(name)) hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * 0x100000001b3n)
  return hash
}

/** Elements of all axes but the first: how many products make one output element. */
export function fanIn(shape: Shape): number {
  return shape.slice(1).reduce((product, size) => product * size, 1)
}

export interface RandomWeightsOptions {
  /** Where they are made. Default cpu. */
  readonly device?: DeviceName
}

/**
 * Fresh weights, a function of the seed and the parameter's name. `kaimingUniform` is U(-1/sqrt(fan_in), 1/sqrt(fan_in)), the default of
 * the usual linear and convolution layers (He et al., 2015, with a = sqrt(5)); `normal` has standard deviation 0.02.
 */
export function randomWeights(seed: number | bigint, { device = 'cpu' }: RandomWeightsOptions = {}): WeightSource {
  return ({ name, shape, init, dtype }) =>
    scope((): Tensor => {
      const stream = streamOf(name)
      const values = (): Tensor => {
        switch (init) {
          case 'zeros':
            return full(shape, 0, { device })
          case 'ones':
            return full(shape, 1, { device })
          case 'kaimingUniform': {
            const bound = 1 / Math.sqrt(fanIn(shape))
            return randomUniform(shape, { seed, stream, low: -bound, high: bound, device })
          }
          case 'normal':
            return scale(randomNormal(shape, { seed, stream, device }), { factor: 0.02 })
          default:
            return init satisfies never
        }
      }
      const tensor = values()
      return dtype === 'float32' ? tensor : cast(tensor, { dtype })
    })
}
