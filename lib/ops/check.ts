/** Argument checks shared by the ops. Each throws an ArgumentError naming op, argument, expected and received. */
import { expectSameDevice } from '../tensor/device.ts'
import type { DType } from '../tensor/dtype.ts'
import { isFloat } from '../tensor/dtype.ts'
import { formatShape, type Shape, sameShape } from '../tensor/shape.ts'
import type { Tensor } from '../tensor/tensor.ts'
import { ArgumentError } from '../util/errors.ts'

export function expectRank(op: string, name: string, x: Tensor, rank: number): void {
  if (x.rank !== rank) throw new ArgumentError(op, name, `of rank ${rank}`, formatShape(x.shape))
}

export function expectRankAtLeast(op: string, name: string, x: Tensor, rank: number): void {
  if (x.rank < rank) throw new ArgumentError(op, name, `of rank ${rank} or more`, formatShape(x.shape))
}

export function expectShape(op: string, name: string, x: Tensor, shape: Shape): void {
  if (!sameShape(x.shape, shape))
    throw new ArgumentError(op, name, `of shape ${formatShape(shape)}`, formatShape(x.shape))
}

export function expectDType(op: string, name: string, x: Tensor, ...allowed: readonly DType[]): void {
  if (!allowed.includes(x.dtype)) throw new ArgumentError(op, name, allowed.join(' or '), x.dtype)
}

/** float32, bfloat16 or float16: the types ops compute with. */
export function expectFloat(op: string, name: string, x: Tensor): void {
  if (!isFloat(x.dtype)) throw new ArgumentError(op, name, 'a float tensor', x.dtype)
}

/** As {@link expectFloat}, or float8_e4m3fn: what products take weights in. */
export function expectWeight(op: string, name: string, x: Tensor): void {
  if (x.dtype !== 'float8_e4m3fn') expectFloat(op, name, x)
}

/** Tensors of one list argument. */
export function expectListOnOneDevice(op: string, name: string, list: readonly Tensor[]): void {
  for (const [i, x] of list.entries()) expectSameDevice(op, `${name}[0]`, list[0]!, `${name}[${i}]`, x)
}

/** What an optimizer changes and reads for its parameters. */
interface OptimizedTensors {
  readonly param: Tensor
  readonly gradient: Tensor
  readonly states: readonly (Tensor | null)[]
  readonly copy: Tensor | null
}

/** All tensors of an optimizer's step: those of every slot, and what the slots share. */
export function expectStepOnOneDevice(
  op: string,
  slots: readonly OptimizedTensors[],
  shared: Readonly<Record<string, Tensor | null>>,
): void {
  const first = slots[0]?.param
  if (first === undefined) return
  const expect = (name: string, x: Tensor | null): void => {
    if (x !== null) expectSameDevice(op, 'param', first, name, x)
  }
  for (const { param, gradient, states, copy } of slots) {
    expect('param', param)
    expect('gradient', gradient)
    for (const state of states) expect('states', state)
    expect('copy', copy)
  }
  for (const [name, x] of Object.entries(shared)) expect(name, x)
}

export function expectDivisible(op: string, what: string, value: number, by: string, divisor: number): void {
  if (!Number.isInteger(divisor) || divisor < 1 || value % divisor !== 0)
    throw new ArgumentError(op, what, `divisible by ${by}`, `${value} and ${divisor}`)
}

export function expectOption(op: string, name: string, condition: boolean, expected: string, received: unknown): void {
  if (!condition) throw new ArgumentError(op, name, expected, String(received))
}
