import { defineOp } from '../autograd/defineOp.ts'
import type { Tensor } from '../tensor/tensor.ts'
import { type ReduceOptions, reduceDefinition } from './sum.ts'

/**
 * The mean over some axes, in float32 and in an order that depends on the shape alone.
 * @returns float32, the shape of `x` without the axes
 */
export const mean = defineOp<readonly [x: Tensor], readonly [x: Tensor], ReduceOptions>(
  'mean',
  reduceDefinition('mean', true),
)
