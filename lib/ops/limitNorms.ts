import { addon } from '../native/load.ts'
import { markCall } from '../tensor/callSite.ts'
import { type Tensor, wrap } from '../tensor/tensor.ts'
import { ArgumentError } from '../util/errors.ts'
import { expectDType, expectListOnOneDevice, expectOption } from './check.ts'

/** Tensors whose product has a norm that is limited. */
export interface NormedProduct {
  /** Contiguous float32, changed in place. */
  readonly factors: readonly Tensor[]
  /** float32, one number: the square of the product's norm. */
  readonly square: Tensor
  /** What the norm is multiplied by; not negative. Default 1. */
  readonly scale?: number
}

/**
 * Scales the factors of every product whose norm is above `maxNorm`, all of one product alike, so that it is `maxNorm`. Outside the
 * tape; nothing waits.
 * @returns float32 [3]: how many products were scaled, the mean and the largest norm afterwards
 */
export function limitNorms(products: readonly NormedProduct[], maxNorm: number): Tensor {
  if (products.length === 0) throw new ArgumentError('limitNorms', 'products', 'at least one', 'none')
  if (!(maxNorm > 0)) throw new ArgumentError('limitNorms', 'maxNorm', 'positive', String(maxNorm))
  for (const { factors, square, scale = 1 } of products) {
    expectDType('limitNorms', 'square', square, 'float32')
    expectOption('limitNorms', 'scale', scale >= 0 && Number.isFinite(scale), 'a finite number, not negative', scale)
    for (const factor of factors) {
      expectDType('limitNorms', 'factors', factor, 'float32')
      if (!factor.contiguous) throw new ArgumentError('limitNorms', 'factors', 'contiguous', 'a strided view')
    }
  }
  expectListOnOneDevice(
    'limitNorms',
    'tensors',
    products.flatMap(({ factors, square }) => [...factors, square]),
  )
  markCall()
  return wrap(
    addon.limitNorms(
      products.flatMap(({ factors }) => factors.map((factor) => factor.handle)),
      products.map(({ factors }) => factors.length),
      products.map(({ square }) => square.handle),
      products.map(({ scale = 1 }) => scale),
      maxNorm,
    ),
  )
}
