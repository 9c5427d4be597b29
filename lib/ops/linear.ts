import { defineOp } from '../autograd/defineOp.ts'
import type { MaybeHandle } from '../native/addon.ts'
import { addon } from '../native/load.ts'
import { formatShape } from '../tensor/shape.ts'
import { type Tensor, wrap } from '../tensor/tensor.ts'
import { ArgumentError } from '../util/errors.ts'
import { didYouMean } from '../util/nearest.ts'
import { expectDType, expectFloat, expectRank, expectRankAtLeast, expectShape, expectWeight } from './check.ts'

const activations = ['none', 'silu', 'gelu', 'quickGelu'] as const

export interface LinearOptions {
  /** Applied before `residual` is added; gelu is the exact one. Default: none. */
  readonly activation?: 'silu' | 'gelu' | 'quickGelu'
  /** Factor of the low-rank branch, usually alpha / rank. Default 1. */
  readonly loraScale?: number
}

type Inputs = readonly [
  x: Tensor,
  weight: Tensor,
  bias: Tensor | null,
  residual: Tensor | null,
  loraDown: Tensor | null,
  loraUp: Tensor | null,
]
type Saved = readonly [
  x: Tensor | null,
  weight: Tensor,
  loraDown: Tensor | null,
  loraUp: Tensor | null,
  z: Tensor | null,
  pre: Tensor | null,
]

function activationCode({ activation }: LinearOptions): number {
  return activations.indexOf(activation ?? 'none')
}

function checkLora(x: Tensor, weight: Tensor, down: Tensor | null, up: Tensor | null): void {
  if ((down === null) !== (up === null))
    throw new ArgumentError('linear', down ? 'loraUp' : 'loraDown', 'given together with the other', 'null')
  if (!down || !up) return
  expectRank('linear', 'loraDown', down, 2)
  expectShape('linear', 'loraDown', down, [down.dim(0), x.dim(-1)])
  expectShape('linear', 'loraUp', up, [weight.dim(0), down.dim(0)])
  expectFloat('linear', 'loraDown', down)
  expectFloat('linear', 'loraUp', up)
}

/**
 * A linear layer in one pass over its result: `activation(x W^T + bias + loraScale (x D^T) U^T) + residual`, with float32
 * sums. The low-rank branch (LoRA, arXiv 2106.09685; D = loraDown, U = loraUp) is computed as extra columns of the main
 * product; its inner result stays float32. Parameters may be of another float type than `x`, but the product
 * is faster where `x` and `weight` are both bfloat16 (on processors that multiply it). Gradients of parameters are float32.
 * @param x [..., in]
 * @param weight [out, in]; of float8_e4m3fn it is expanded, while the op runs, to the type of `x`
 * @param bias [out] or null
 * @param residual [..., out] with the dtype of `x`, or null
 * @param loraDown [rank, in] or null
 * @param loraUp [out, rank] or null
 * @returns [..., out] with the dtype of `x`
 */
export const linear = defineOp<Inputs, Saved, LinearOptions>('linear', {
  inputs: ['x', 'weight', 'bias', 'residual', 'loraDown', 'loraUp'],
  check([x, weight, bias, residual, loraDown, loraUp], options) {
    expectFloat('linear', 'x', x)
    expectRankAtLeast('linear', 'x', x, 1)
    expectWeight('linear', 'weight', weight)
    expectRank('linear', 'weight', weight, 2)
    if (weight.dim(1) !== x.dim(-1))
      throw new ArgumentError('linear', 'weight', `of shape [out, ${x.dim(-1)}]`, formatShape(weight.shape))
    if (bias) {
      expectFloat('linear', 'bias', bias)
      expectShape('linear', 'bias', bias, [weight.dim(0)])
    }
    if (residual) {
      expectDType('linear', 'residual', residual, x.dtype)
      expectShape('linear', 'residual', residual, [...x.shape.slice(0, -1), weight.dim(0)])
    }
    checkLora(x, weight, loraDown, loraUp)
    if (activationCode(options) < 0) {
      const received = String(options.activation)
      const expected = 'silu, gelu or quickGelu'
      throw new ArgumentError('linear', 'activation', expected, `${received}.${didYouMean(received, activations)}`)
    }
  },
  forward([x, weight, bias, residual, loraDown, loraUp], options, save, needs) {
    const [y, z, pre] = addon.linearForward(
      x.handle,
      weight.handle,
      bias?.handle ?? null,
      residual?.handle ?? null,
      loraDown?.handle ?? null,
      loraUp?.handle ?? null,
      activationCode(options),
      options.loraScale ?? 1,
      needs.some((need) => need),
    )
    const kept = [z, pre].map((handle) => handle && wrap(handle)) as [Tensor | null, Tensor | null]
    const xIsNeeded = needs[1] || needs[4]
    save(xIsNeeded ? x : null, weight, loraDown, loraUp, ...kept)
    for (const tensor of kept) tensor?.dispose()
    return wrap(y)
  },
  backward(dy, [x, weight, loraDown, loraUp, z, pre], options, needs) {
    const gradients = addon.linearBackward(
      dy.handle,
      x?.handle ?? null,
      weight.handle,
      loraDown?.handle ?? null,
      loraUp?.handle ?? null,
      z?.handle ?? null,
      pre?.handle ?? null,
      activationCode(options),
      options.loraScale ?? 1,
      needs[0],
      needs[1],
      needs[2],
      needs[4],
      needs[5],
    )
    const wrapped = (handle: MaybeHandle): Tensor | null => handle && wrap(handle)
    const [dx, dweight, dbias, ddown, dup] = gradients
    return [wrapped(dx), wrapped(dweight), wrapped(dbias), needs[3] ? dy : null, wrapped(ddown), wrapped(dup)]
  },
})
