import { addon } from '../native/load.ts'
import { markCall } from '../tensor/callSite.ts'
import { type FloatDType, isFloat } from '../tensor/dtype.ts'
import type { Shape } from '../tensor/shape.ts'
import { type DeviceName, type Tensor, wrap } from '../tensor/tensor.ts'
import { ArgumentError } from '../util/errors.ts'
import { expectOption } from './check.ts'

/** Element types of files that can become parameters, by the names safetensors gives them. */
export const loadableTypes = ['F64', 'F32', 'F16', 'BF16', 'F8_E4M3'] as const
export type LoadableType = (typeof loadableTypes)[number]

export interface LoadParameterOptions {
  /** Element type in the file. */
  readonly fileDType: LoadableType
  /** In memory. */
  readonly shape: Shape
  /** `conv`: [o, i, kh, kw] in the file, [o, kh, kw, i] in memory. Default `same`. */
  readonly layout?: 'same' | 'conv'
  /** Of the result. Each number is rounded once, to nearest, ties to even; doubles below 2^-126 may become 0. */
  readonly dtype: FloatDType
  /** Where the result lies; the CPU reads and converts for all devices. Default cpu. */
  readonly device?: DeviceName | undefined
}

/**
 * A parameter from an open file, in one pass: all threads read blocks of the file, convert them and write them where they belong
 * while they are in the cache. It needs no memory beside the result but a block for each thread, and for a GPU the parameter once more
 * on the CPU until it is uploaded. The file is read when the device gets to it, and may be closed after the call; where it cannot be read, or is too short, whoever reads the result gets the error.
 * @param place an open file, and where in it the first element lies; elements are little-endian and row-major
 */
export function loadParameter(
  { descriptor, byteOffset }: { readonly descriptor: number; readonly byteOffset: number },
  { fileDType, shape, layout = 'same', dtype, device = 'cpu' }: LoadParameterOptions,
): Tensor {
  if (!loadableTypes.includes(fileDType))
    throw new ArgumentError('loadParameter', 'fileDType', `one of ${loadableTypes.join(', ')}`, String(fileDType))
  expectOption('loadParameter', 'dtype', isFloat(dtype), 'a float type', dtype)
  expectOption(
    'loadParameter',
    'byteOffset',
    Number.isSafeInteger(byteOffset) && byteOffset >= 0,
    'a position',
    byteOffset,
  )
  const isConv = layout === 'conv'
  expectOption('loadParameter', 'shape', !isConv || shape.length === 4, 'of 4 axes for layout conv', shape)
  markCall()
  return wrap(addon.loadParameter(descriptor, byteOffset, fileDType, shape, isConv, dtype, device))
}
