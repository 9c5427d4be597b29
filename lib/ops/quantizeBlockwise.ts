/**
 * Block-wise 8-bit storage (Dettmers et al., "8-bit optimizers via block-wise quantization", 2022): a code names one of 256 values
 * in [-1, 1], the largest magnitude of each block of 256 elements scales it.
 */
import { addon } from '../native/load.ts'
import { markCall } from '../tensor/callSite.ts'
import { expectSameDevice } from '../tensor/device.ts'
import { type Tensor, wrap } from '../tensor/tensor.ts'
import { ArgumentError } from '../util/errors.ts'
import { expectDType, expectFloat, expectShape } from './check.ts'

/** Elements that share a scale. Blocks run over the flattened tensor; the last may be short. */
export const QUANTIZATION_BLOCK = 256

export interface QuantizeOptions {
  /** Whether the values have signs. Without, negative numbers become 0 and the steps are half as wide. Default true. */
  readonly signed?: boolean
}

export interface Quantized {
  /** uint8, the shape of the tensor. */
  readonly codes: Tensor
  /** float32 [blocks]. */
  readonly absmax: Tensor
}

/** Scales that `elements` elements need. */
export function blockCount(elements: number): number {
  return Math.ceil(elements / QUANTIZATION_BLOCK)
}

function expectPacked(op: string, name: string, x: Tensor): void {
  if (!x.contiguous) throw new ArgumentError(op, name, 'contiguous (call contiguous(x))', 'a strided view')
}

/** The nearest codes of a tensor and the scales of its blocks. Exact midpoints go to the even code. */
export function quantizeBlockwise(x: Tensor, { signed = true }: QuantizeOptions = {}): Quantized {
  expectFloat('quantizeBlockwise', 'x', x)
  expectPacked('quantizeBlockwise', 'x', x)
  markCall()
  const [codes, absmax] = addon.quantizeBlockwise(x.handle, signed)
  return { codes: wrap(codes), absmax: wrap(absmax) }
}

/** The float32 tensor that codes and scales stand for. */
export function dequantizeBlockwise({ codes, absmax }: Quantized, { signed = true }: QuantizeOptions = {}): Tensor {
  expectDType('dequantizeBlockwise', 'codes', codes, 'uint8')
  expectDType('dequantizeBlockwise', 'absmax', absmax, 'float32')
  expectShape('dequantizeBlockwise', 'absmax', absmax, [blockCount(codes.size)])
  expectPacked('dequantizeBlockwise', 'codes', codes)
  expectSameDevice('dequantizeBlockwise', 'codes', codes, 'absmax', absmax)
  markCall()
  return wrap(addon.dequantizeBlockwise(codes.handle, absmax.handle, signed))
}

/** The 256 values that codes stand for, ascending: float32 [256]. */
export function quantizationMap({ signed = true }: QuantizeOptions = {}): Tensor {
  return wrap(addon.quantizationMap(signed))
}
