import { addon } from '../native/load.ts'
import { markCall } from '../tensor/callSite.ts'
import { type DType, isFloat } from '../tensor/dtype.ts'
import { type Tensor, wrap } from '../tensor/tensor.ts'
import { ArgumentError } from '../util/errors.ts'
import { expectOption, expectRank, expectWeight } from './check.ts'

export interface StoreParameterOptions {
  /** `conv`: [o, kh, kw, i] becomes [o, i, kh, kw]. Default `same`. */
  readonly layout?: 'same' | 'conv'
  /** Of the result: float32, float16 or bfloat16. Numbers are rounded to nearest, ties to even. */
  readonly dtype: DType
}

/**
 * A parameter in the layout and element type of a file, in one pass: what `loadParameter` reads back. Not differentiable.
 */
export function storeParameter(x: Tensor, { layout = 'same', dtype }: StoreParameterOptions): Tensor {
  expectWeight('storeParameter', 'x', x)
  expectOption('storeParameter', 'dtype', isFloat(dtype), 'a float type', dtype)
  if (layout === 'conv') expectRank('storeParameter', 'x', x, 4)
  if (!x.contiguous) throw new ArgumentError('storeParameter', 'x', 'contiguous (call contiguous(x))', 'a strided view')
  markCall()
  return wrap(addon.storeParameter(x.handle, layout === 'conv', dtype))
}
