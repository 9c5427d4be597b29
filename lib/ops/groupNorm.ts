import type { Needs, OpDefinition } from '../autograd/defineOp.ts'
import { defineOp } from '../autograd/defineOp.ts'
import { addon } from '../native/load.ts'
import { type Tensor, wrap } from '../tensor/tensor.ts'
import { expectDivisible, expectFloat, expectOption, expectRankAtLeast, expectShape } from './check.ts'

export interface GroupNormOptions {
  /** How many groups the channels are divided into, consecutive channels together. */
  readonly groups: number
  /** Added to the variance. Default 1e-5; Stable Diffusion's VAE uses 1e-6. */
  readonly eps?: number
}

type Inputs = readonly [x: Tensor, weight: Tensor, bias: Tensor]
type Saved = readonly [...Inputs, mean: Tensor, rstd: Tensor] // mean and rstd are float32 [n, groups]

/** @internal groupNorm and groupNormSilu: one kernel that may end with silu. */
export function groupNormDefinition(
  op: string,
  silu: boolean,
): Omit<OpDefinition<Inputs, Saved, GroupNormOptions>, 'reference'> {
  return {
    inputs: ['x', 'weight', 'bias'],
    check([x, weight, bias], { groups, eps = 1e-5 }) {
      expectFloat(op, 'x', x)
      expectRankAtLeast(op, 'x', x, 2)
      expectDivisible(op, 'x channels', x.dim(-1), 'groups', groups)
      expectOption(op, 'eps', eps > 0, 'positive', eps)
      expectFloat(op, 'weight', weight)
      expectShape(op, 'weight', weight, [x.dim(-1)])
      expectFloat(op, 'bias', bias)
      expectShape(op, 'bias', bias, [x.dim(-1)])
    },
    forward([x, weight, bias], { groups, eps = 1e-5 }, save) {
      const outputs = addon.groupNormForward(x.handle, weight.handle, bias.handle, groups, eps, silu)
      const [y, mean, rstd] = [wrap(outputs[0]), wrap(outputs[1]), wrap(outputs[2])]
      save(x, weight, bias, mean, rstd)
      mean.dispose()
      rstd.dispose()
      return y
    },
    backward(dy, [x, weight, bias, mean, rstd], { groups }, needs: Needs<Inputs>) {
      const [dx, dweight, dbias] = addon.groupNormBackward(
        dy.handle,
        x.handle,
        weight.handle,
        bias.handle,
        mean.handle,
        rstd.handle,
        groups,
        silu,
        ...needs,
      )
      return [dx && wrap(dx), dweight && wrap(dweight), dbias && wrap(dbias)]
    },
  }
}

/**
 * Group normalisation (Wu and He, 2018): each group of channels of each sample gets mean 0 and variance 1 over its channels and pixels, then
 * `weight` and `bias` per channel. Statistics are float32.
 * @param x [n, ..., c], channels last
 * @param weight [c]
 * @param bias [c]
 * @returns a tensor like `x`
 */
export const groupNorm = defineOp<Inputs, Saved, GroupNormOptions>('groupNorm', groupNormDefinition('groupNorm', false))
