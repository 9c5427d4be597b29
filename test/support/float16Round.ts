import { bytesToFloat32, float32ToBytes } from '../../lib/io/tensorBytes.ts'

/** Values rounded to half precision and widened again. The conversions are tested against PyTorch's in test/io. */
export function float16Round(values: Float32Array): Float32Array {
  return bytesToFloat32(float32ToBytes(values, 'F16'), 'F16')
}
