import { defineOp } from '../autograd/defineOp.ts'
import type { Tensor } from '../tensor/tensor.ts'
import { type GroupNormOptions, groupNorm, groupNormDefinition } from './groupNorm.ts'
import { silu } from './silu.ts'

/** `silu(groupNorm(x, weight, bias, options))` in one trip to memory; arguments as for {@link groupNorm}. */
export const groupNormSilu = defineOp<
  readonly [x: Tensor, weight: Tensor, bias: Tensor],
  readonly [x: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, rstd: Tensor],
  GroupNormOptions
>('groupNormSilu', {
  ...groupNormDefinition('groupNormSilu', true),
  reference: ([x, weight, bias], options) => silu(groupNorm(x, weight, bias, options)),
})
