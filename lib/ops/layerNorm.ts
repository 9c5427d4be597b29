import { defineOp } from '../autograd/defineOp.ts'
import { addon } from '../native/load.ts'
import { type Tensor, wrap } from '../tensor/tensor.ts'
import { expectFloat, expectOption, expectRankAtLeast, expectShape } from './check.ts'

export interface LayerNormOptions {
  /** Added to the variance. Default 1e-5. */
  readonly eps?: number
}

type Inputs = readonly [x: Tensor, weight: Tensor, bias: Tensor]
type Saved = readonly [x: Tensor, weight: Tensor, mean: Tensor, rstd: Tensor] // mean and rstd are float32, one per row

/**
 * Layer normalisation (Ba et al., 2016): each row of the last axis gets mean 0 and variance 1, then `weight` and `bias` per channel.
 * Statistics are float32.
 * @param x [..., c]
 * @param weight [c]
 * @param bias [c]
 * @returns a tensor like `x`
 */
export const layerNorm = defineOp<Inputs, Saved, LayerNormOptions>('layerNorm', {
  inputs: ['x', 'weight', 'bias'],
  check([x, weight, bias], { eps = 1e-5 }) {
    expectFloat('layerNorm', 'x', x)
    expectRankAtLeast('layerNorm', 'x', x, 1)
    expectOption('layerNorm', 'eps', eps > 0, 'positive', eps)
    expectFloat('layerNorm', 'weight', weight)
    expectShape('layerNorm', 'weight', weight, [x.dim(-1)])
    expectFloat('layerNorm', 'bias', bias)
    expectShape('layerNorm', 'bias', bias, [x.dim(-1)])
  },
  forward([x, weight, bias], { eps = 1e-5 }, save) {
    const outputs = addon.layerNormForward(x.handle, weight.handle, bias.handle, eps)
    const [y, mean, rstd] = [wrap(outputs[0]), wrap(outputs[1]), wrap(outputs[2])]
    save(x, weight, mean, rstd)
    mean.dispose()
    rstd.dispose()
    return y
  },
  backward(dy, [x, weight, mean, rstd], _options, needs) {
    const [dx, dweight, dbias] = addon.layerNormBackward(
      dy.handle,
      x.handle,
      weight.handle,
      mean.handle,
      rstd.handle,
      ...needs,
    )
    return [dx && wrap(dx), dweight && wrap(dweight), dbias && wrap(dbias)]
  },
})
