import { defineOp } from '../autograd/defineOp.ts'
import type { MaybeHandle } from '../native/addon.ts'
import { addon } from '../native/load.ts'
import { formatShape } from '../tensor/shape.ts'
import { type Tensor, wrap } from '../tensor/tensor.ts'
import { ArgumentError } from '../util/errors.ts'
import { cast } from './cast.ts'
import { expectDType, expectFloat, expectOption, expectRank, expectShape, expectWeight } from './check.ts'

export interface Conv2dOptions {
  /** Default 1. */
  readonly stride?: 1 | 2
  /** Rows and columns of zeros around the input: one number for all sides, or one for each. Default 0. */
  readonly padding?: number | readonly [top: number, bottom: number, left: number, right: number]
  /** Doubles height and width (nearest neighbour) before the convolution; with stride 1 alone. Default false. */
  readonly upsample?: boolean
  /**
   * Never use the fast 3x3 convolution F(4x4, 3x3), whose float32 results differ from the plain sum by up to 2e-4 of their
   * root mean square. Default false.
   */
  readonly exact?: boolean
  /**
   * Keep the transformed weights of fast convolutions beside `weight`, at four times its size in float32 and as much again
   * for the gradient of `x`; they are made again when `weight` changes. Default: where `weight` takes no gradient and the
   * batch has 1024 output pixels or more. True keeps them from 256 pixels on, where a
   * call takes less than half the time but the weights are large; `nn/Conv2d` chooses within a budget.
   */
  readonly keepTransformed?: boolean
}

type Inputs = readonly [
  x: Tensor,
  weight: Tensor,
  bias: Tensor | null,
  timeEmbedding: Tensor | null,
  residual: Tensor | null,
]
type Saved = readonly [x: Tensor | null, weight: Tensor, timeEmbedding: Tensor | null]
type Sides = readonly [top: number, bottom: number, left: number, right: number]

function sidesOf({ padding = 0 }: Conv2dOptions): Sides {
  return typeof padding === 'number' ? [padding, padding, padding, padding] : padding
}

function outputShape(x: Tensor, weight: Tensor, options: Conv2dOptions): [number, number, number, number] {
  const [n, h, w] = x.shape as [number, number, number]
  const [top, bottom, left, right] = sidesOf(options)
  const factor = options.upsample ? 2 : 1
  const size = (input: number, padding: number, kernel: number): number =>
    Math.floor((input * factor + padding - kernel) / (options.stride ?? 1)) + 1
  return [n, size(h, top + bottom, weight.dim(1)), size(w, left + right, weight.dim(2)), weight.dim(0)]
}

/** 0: never keep transformed weights, 1: for many pixels, 2: wherever it is faster. */
function keepCode({ keepTransformed }: Conv2dOptions, weightChanges: boolean): number {
  if (keepTransformed !== undefined) return keepTransformed ? 2 : 0
  return weightChanges ? 0 : 1
}

/** The shape of an x that was not saved: with stride 1 that of the result determines it. */
function inputShape(dy: Tensor, weight: Tensor, options: Conv2dOptions): readonly number[] {
  const [n, ho, wo] = dy.shape as [number, number, number]
  const [top, bottom, left, right] = sidesOf(options)
  const factor = options.upsample ? 2 : 1
  const h = (ho - 1 + weight.dim(1) - top - bottom) / factor
  const w = (wo - 1 + weight.dim(2) - left - right) / factor
  return [n, h, w, weight.dim(3)]
}

function checkOptions(options: Conv2dOptions): void {
  const { stride = 1, upsample = false } = options
  expectOption('conv2d', 'stride', stride === 1 || stride === 2, '1 or 2', stride)
  expectOption('conv2d', 'stride', !(upsample && stride !== 1), '1 where upsample is given', stride)
  const sides = sidesOf(options)
  const valid = sides.length === 4 && sides.every((side) => Number.isInteger(side) && side >= 0)
  expectOption('conv2d', 'padding', valid, 'a count, or four: top, bottom, left, right', options.padding)
}

/**
 * 2-D convolution, channels last, in one pass over its result: `conv(x, weight) + bias + timeEmbedding + residual`, with
 * float32 sums. Large 3x3 layers with stride 1 use the fast convolution F(4x4, 3x3) of Lavin and Gray (arXiv 1509.09308).
 * Parameters may be of another float type than `x`. Gradients of parameters are float32, that of the time embedding is of
 * its own type.
 * @param x [n, h, w, ci]
 * @param weight [co, kh, kw, ci]; of float8_e4m3fn it is expanded, while the op runs, to the type of `x`
 * @param bias [co] or null
 * @param timeEmbedding [n, co], added at every pixel, or null
 * @param residual [n, ho, wo, co] with the dtype of `x`, or null
 * @returns [n, ho, wo, co] with the dtype of `x`
 */
export const conv2d = defineOp<Inputs, Saved, Conv2dOptions>('conv2d', {
  inputs: ['x', 'weight', 'bias', 'timeEmbedding', 'residual'],
  check([x, weight, bias, timeEmbedding, residual], options) {
    expectFloat('conv2d', 'x', x)
    expectRank('conv2d', 'x', x, 4)
    expectWeight('conv2d', 'weight', weight)
    expectRank('conv2d', 'weight', weight, 4)
    if (weight.dim(3) !== x.dim(3))
      throw new ArgumentError('conv2d', 'weight', `of shape [co, kh, kw, ${x.dim(3)}]`, formatShape(weight.shape))
    expectOption('conv2d', 'the kernel', weight.dim(1) <= 64 && weight.dim(2) <= 64, 'at most 64 wide', weight.shape)
    checkOptions(options)
    const shape = outputShape(x, weight, options)
    if (shape[1] < 1 || shape[2] < 1)
      throw new ArgumentError(
        'conv2d',
        'x',
        `as large as the kernel ${formatShape(weight.shape)}`,
        formatShape(x.shape),
      )
    if (bias) {
      expectFloat('conv2d', 'bias', bias)
      expectShape('conv2d', 'bias', bias, [weight.dim(0)])
    }
    if (timeEmbedding) {
      expectFloat('conv2d', 'timeEmbedding', timeEmbedding)
      expectShape('conv2d', 'timeEmbedding', timeEmbedding, [x.dim(0), weight.dim(0)])
    }
    if (residual) {
      expectDType('conv2d', 'residual', residual, x.dtype)
      expectShape('conv2d', 'residual', residual, shape)
    }
  },
  forward([x, weight, bias, timeEmbedding, residual], options, save, needs) {
    save(needs[1] || options.stride === 2 ? x : null, weight, needs[3] ? timeEmbedding : null)
    const y = addon.conv2dForward(
      x.handle,
      weight.handle,
      bias?.handle ?? null,
      timeEmbedding?.handle ?? null,
      residual?.handle ?? null,
      options.stride ?? 1,
      ...sidesOf(options),
      options.upsample ?? false,
      options.exact ?? false,
      keepCode(options, weight.tracked),
    )
    return wrap(y)
  },
  backward(dy, [x, weight, timeEmbedding], options, needs) {
    const gradients = addon.conv2dBackward(
      dy.handle,
      x?.handle ?? null,
      x?.shape ?? inputShape(dy, weight, options),
      weight.handle,
      options.stride ?? 1,
      ...sidesOf(options),
      options.upsample ?? false,
      options.exact ?? false,
      keepCode(options, needs[1]),
      needs[0],
      needs[1],
      needs[2],
      needs[3],
    )
    const [dx, dweight, dbias, dtime] = gradients.map((handle: MaybeHandle) => handle && wrap(handle))
    const dembedding = dtime && timeEmbedding ? cast(dtime, { dtype: timeEmbedding.dtype }) : null
    return [dx ?? null, dweight ?? null, dbias ?? null, dembedding, needs[4] ? dy : null]
  },
})
