/** What the native side knows tensors by. */

/**
 * Element types, in the order of native/core/dtype.h. 16-bit floats are computed with in float32 and rounded when they are stored.
 * float8_e4m3fn (sign, 4 bits of exponent, 3 of fraction; no infinities) is for storage: `linear` and `conv2d` take weights of it, and
 * `cast` converts it.
 */
export type DType = 'float32' | 'bfloat16' | 'float16' | 'uint8' | 'int8' | 'int32' | 'int64' | 'bool' | 'float8_e4m3fn'

/** A native reference to a tensor's storage, shape and layout. Owned by one Tensor. */
export interface Handle {
  readonly shape: readonly number[]
  readonly dtype: DType
  /** Present when the elements are not packed. */
  readonly strided?: true
  /** Present when it is not the CPU. */
  readonly device?: 'cuda' | `cuda:${number}`
}

export type MaybeHandle = Handle | null
