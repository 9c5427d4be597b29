import { float8ToFloat32, float32ToFloat8 } from '../util/float8.ts'
import { bfloat16ToFloat32, float16ToFloat32, float32ToBfloat16, float32ToFloat16 } from '../util/float16.ts'

/** Element types of a safetensors file, by their names there. */
export type FileDType =
  | 'U64'
  | 'I64'
  | 'F64'
  | 'F32'
  | 'U32'
  | 'I32'
  | 'BF16'
  | 'F16'
  | 'U16'
  | 'I16'
  | 'F8_E4M3'
  | 'I8'
  | 'U8'
  | 'BOOL'

/** Those of parameters. */
export type FloatFileDType = 'F64' | 'F32' | 'F16' | 'BF16' | 'F8_E4M3'

/** Bytes per element. The order of the keys is the order in which the canonical writer lays tensors out. */
export const fileDTypeBytes: Readonly<Record<FileDType, number>> = {
  U64: 8,
  I64: 8,
  F64: 8,
  F32: 4,
  U32: 4,
  I32: 4,
  BF16: 2,
  F16: 2,
  U16: 2,
  I16: 2,
  F8_E4M3: 1,
  I8: 1,
  U8: 1,
  BOOL: 1,
}

export function isFileDType(name: string): name is FileDType {
  return Object.hasOwn(fileDTypeBytes, name)
}

/**
 * The values of little-endian tensor bytes as float32. Smaller floats convert exactly; float64 and integers round
 * to nearest. `F32` bytes are not copied when their memory is aligned.
 */
export function bytesToFloat32(bytes: Uint8Array, dtype: FileDType): Float32Array {
  const aligned = bytes.byteOffset % fileDTypeBytes[dtype] === 0 ? bytes : bytes.slice()
  const { buffer, byteOffset } = aligned
  const length = aligned.byteLength / fileDTypeBytes[dtype]
  switch (dtype) {
    case 'F32':
      return new Float32Array(buffer, byteOffset, length)
    case 'F16':
      return float16ToFloat32(new Uint16Array(buffer, byteOffset, length))
    case 'BF16':
      return bfloat16ToFloat32(new Uint16Array(buffer, byteOffset, length))
    case 'F8_E4M3':
      return float8ToFloat32(aligned)
    case 'F64':
      return Float32Array.from(new Float64Array(buffer, byteOffset, length))
    case 'I64':
      return Float32Array.from(new BigInt64Array(buffer, byteOffset, length), Number)
    case 'U64':
      return Float32Array.from(new BigUint64Array(buffer, byteOffset, length), Number)
    case 'I32':
      return Float32Array.from(new Int32Array(buffer, byteOffset, length))
    case 'U32':
      return Float32Array.from(new Uint32Array(buffer, byteOffset, length))
    case 'I16':
      return Float32Array.from(new Int16Array(buffer, byteOffset, length))
    case 'U16':
      return Float32Array.from(new Uint16Array(buffer, byteOffset, length))
    case 'I8':
      return Float32Array.from(new Int8Array(buffer, byteOffset, length))
    case 'U8':
    case 'BOOL':
      return Float32Array.from(aligned)
    default:
      return dtype satisfies never
  }
}

/** float32 values as little-endian bytes of a floating-point file type, rounded to nearest, ties to even. */
export function float32ToBytes(values: Float32Array, dtype: FloatFileDType): Uint8Array {
  switch (dtype) {
    case 'F64':
      return bytesOf(Float64Array.from(values))
    case 'F32':
      return bytesOf(values)
    case 'F16':
      return bytesOf(float32ToFloat16(values))
    case 'BF16':
      return bytesOf(float32ToBfloat16(values))
    case 'F8_E4M3':
      return float32ToFloat8(values)
    default:
      return dtype satisfies never
  }
}

/** The memory of a typed array as bytes, without a copy. */
export function bytesOf(view: ArrayBufferView): Uint8Array {
  return new Uint8Array(view.buffer, view.byteOffset, view.byteLength)
}
