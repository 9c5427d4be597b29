import { addon } from '../native/load.ts'
import { ArgumentError } from '../util/errors.ts'
import { markCall } from './callSite.ts'
import { checkDevice } from './device.ts'
import { type DType, dtypes, itemSize } from './dtype.ts'
import { elementCount, formatShape, type Shape } from './shape.ts'
import { type DeviceName, type Tensor, wrap } from './tensor.ts'

export interface CreateOptions {
  /** Default float32. */
  readonly dtype?: DType
  /** Default cpu. */
  readonly device?: DeviceName
}

function checkShape(op: string, shape: Shape, dtype: DType = 'float32'): void {
  if (!shape.every((size) => Number.isSafeInteger(size) && size > 0))
    throw new ArgumentError(op, 'shape', 'positive whole numbers', formatShape(shape))
  if (!dtypes.includes(dtype)) throw new ArgumentError(op, 'dtype', `one of ${dtypes.join(', ')}`, String(dtype))
  if (elementCount(shape) * itemSize[dtype] > Number.MAX_SAFE_INTEGER)
    throw new ArgumentError(op, 'shape', 'of at most 2^53 bytes', formatShape(shape))
}

/**
 * A tensor from numbers or from the bytes of a typed array. Plain arrays become float32 or integer elements; a typed array must hold
 * exactly the elements of `shape` in `dtype` (floats of 16 and 8 bits as those bits). The data is copied before the call returns.
 */
export function tensor(data: readonly number[] | ArrayBufferView, shape: Shape, options: CreateOptions = {}): Tensor {
  const { dtype = inferDtype(data), device = 'cpu' } = options
  checkShape('tensor', shape, dtype)
  checkDevice('tensor', device)
  const view = ArrayBuffer.isView(data) ? data : fromNumbers(data, dtype)
  const bytes = new Uint8Array(view.buffer, view.byteOffset, view.byteLength)
  const expected = elementCount(shape) * itemSize[dtype]
  if (bytes.length !== expected)
    throw new ArgumentError(
      'tensor',
      'data',
      `${expected} bytes for ${formatShape(shape)} ${dtype}`,
      `${bytes.length} bytes`,
    )
  markCall()
  return wrap(addon.fromBytes(device, bytes, shape, dtype))
}

function inferDtype(data: readonly number[] | ArrayBufferView): DType {
  if (data instanceof Int32Array) return 'int32'
  if (data instanceof Uint8Array || data instanceof Uint8ClampedArray) return 'uint8'
  if (data instanceof Int8Array) return 'int8'
  if (data instanceof BigInt64Array) return 'int64'
  if (data instanceof Float32Array || !ArrayBuffer.isView(data)) return 'float32'
  const received = `a ${data.constructor.name}`
  throw new ArgumentError('tensor', 'data', 'a typed array whose dtype is known, or options.dtype', received)
}

function fromNumbers(data: readonly number[], dtype: DType): ArrayBufferView {
  switch (dtype) {
    case 'float32':
      return Float32Array.from(data)
    case 'int32':
      return Int32Array.from(data)
    case 'uint8':
    case 'bool':
      return Uint8Array.from(data)
    case 'int8':
      return Int8Array.from(data)
    case 'int64':
      return BigInt64Array.from(data, BigInt)
    default:
      throw new ArgumentError('tensor', 'data', `a typed array of ${dtype} bits`, 'an array of numbers')
  }
}

/** A tensor with one value everywhere. */
export function full(shape: Shape, value: number, options: CreateOptions = {}): Tensor {
  const { dtype = 'float32', device = 'cpu' } = options
  checkShape('full', shape, dtype)
  checkDevice('full', device)
  markCall()
  return wrap(addon.fill(shape, dtype, value, device))
}

export function zeros(shape: Shape, options: CreateOptions = {}): Tensor {
  return full(shape, 0, options)
}

/**
 * Zeros on the CPU whose memory is a file without a name in `folder`: under pressure the system writes pages there and reads them
 * back when they are used. The file takes its full size at once and is gone when the tensor or the process is.
 * @throws NativeError or OutOfMemoryError on the next read, when the folder cannot be written or has no room
 */
export function pagedZeros(shape: Shape, folder: string, options: { readonly dtype?: DType } = {}): Tensor {
  checkShape('pagedZeros', shape, options.dtype)
  markCall()
  return wrap(addon.pagedZeros(shape, options.dtype ?? 'float32', folder))
}

/**
 * Zeros on a GPU whose memory is the host's, pinned and mapped: kernels read and write it over the bus.
 * @throws OutOfMemoryError on the next read, when the driver has no such memory to give
 */
export function pinnedZeros(shape: Shape, { dtype = 'float32', device = 'cuda' }: CreateOptions = {}): Tensor {
  checkShape('pinnedZeros', shape, dtype)
  if (device === 'cpu') throw new ArgumentError('pinnedZeros', 'device', 'a GPU, which has a bus to the host', device)
  checkDevice('pinnedZeros', device)
  markCall()
  return wrap(addon.pinnedZeros(shape, dtype, device))
}

/** Lets the memory of tensors that `pagedZeros` made go; it comes back from the file when they are used. Others are refused by the caller. */
export function pageOut(tensors: readonly Tensor[]): void {
  markCall()
  addon.pageOut(tensors.map((t) => t.handle))
}

export interface RandomOptions {
  /** The key: any unsigned 64-bit integer. */
  readonly seed: number | bigint
  /** Which sequence under that key; equal (seed, stream) give equal numbers everywhere. Default 0. */
  readonly stream?: number | bigint
  /** Default cpu. */
  readonly device?: DeviceName
}

/** Standard normal float32 numbers, a function of (seed, stream, index): Philox 4x32-10 and Box-Muller. */
export function randomNormal(shape: Shape, { seed, stream = 0, device = 'cpu' }: RandomOptions): Tensor {
  checkShape('randomNormal', shape)
  checkDevice('randomNormal', device)
  markCall()
  return wrap(addon.randomNormal(shape, BigInt.asUintN(64, BigInt(seed)), BigInt.asUintN(64, BigInt(stream)), device))
}

/** Uniform float32 numbers in [low, high), a function of (seed, stream, index). */
export function randomUniform(
  shape: Shape,
  {
    seed,
    stream = 0,
    low = 0,
    high = 1,
    device = 'cpu',
  }: RandomOptions & { readonly low?: number; readonly high?: number },
): Tensor {
  checkShape('randomUniform', shape)
  checkDevice('randomUniform', device)
  markCall()
  return wrap(
    addon.randomUniform(shape, BigInt.asUintN(64, BigInt(seed)), BigInt.asUintN(64, BigInt(stream)), low, high, device),
  )
}
