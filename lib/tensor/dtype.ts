import type { DType } from '../native/addon.ts'

export type { DType } from '../native/addon.ts'

/** In the order of the native enumeration. */
export const dtypes: readonly DType[] = [
  ...(['float32', 'bfloat16', 'float16'] as const),
  ...(['uint8', 'int8', 'int32', 'int64', 'bool'] as const),
  'float8_e4m3fn',
]

export const itemSize: Readonly<Record<DType, number>> = {
  float32: 4,
  bfloat16: 2,
  float16: 2,
  uint8: 1,
  int8: 1,
  int32: 4,
  int64: 8,
  bool: 1,
  float8_e4m3fn: 1,
}

/** The types that ops compute with. */
export type FloatDType = 'float32' | 'bfloat16' | 'float16'

export function isFloat(dtype: DType): dtype is FloatDType {
  return dtype === 'float32' || dtype === 'bfloat16' || dtype === 'float16'
}

export type TypedArray = Float32Array | Uint16Array | Uint8Array | Int8Array | Int32Array | BigInt64Array

/** A typed array over packed elements; 16-bit and 8-bit floats are seen as their bits. */
export function typedArray(dtype: DType, buffer: ArrayBuffer): TypedArray {
  switch (dtype) {
    case 'float32':
      return new Float32Array(buffer)
    case 'bfloat16':
    case 'float16':
      return new Uint16Array(buffer)
    case 'uint8':
    case 'bool':
    case 'float8_e4m3fn':
      return new Uint8Array(buffer)
    case 'int8':
      return new Int8Array(buffer)
    case 'int32':
      return new Int32Array(buffer)
    case 'int64':
      return new BigInt64Array(buffer)
    default:
      return dtype satisfies never
  }
}
