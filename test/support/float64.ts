/** Reference arithmetic for tests: packed float64 arrays and the measures of error that the tolerances are stated in. */
import { elementCount, type Shape } from '../../lib/tensor/shape.ts'

export interface Array64 {
  readonly shape: Shape
  readonly data: Float64Array
}

export function array64(shape: Shape, data?: ArrayLike<number>): Array64 {
  const values = new Float64Array(elementCount(shape))
  if (data) values.set(data)
  return { shape, data: values }
}

export function rootMeanSquare(data: ArrayLike<number>): number {
  let sum = 0
  for (let i = 0; i < data.length; i++) sum += data[i]! ** 2
  return Math.sqrt(sum / Math.max(1, data.length))
}

export interface Tolerance {
  /** Bound of rms(error) / rms(reference). */
  readonly rms: number
  /** Bound of the largest error / rms(reference), beside `relative`. */
  readonly max: number
  /** Error allowed in addition, as a share of the reference element. */
  readonly relative?: number
}

/** Throws unless `actual` agrees with `expected` within `tolerance`, naming the worst element. */
export function expectClose(
  label: string,
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  tolerance: Tolerance,
): void {
  if (actual.length !== expected.length)
    throw new Error(`${label}: expected ${expected.length} elements, received ${actual.length}`)
  const scale = Math.max(rootMeanSquare(expected), 1e-30)
  let sum = 0
  let worst = -1
  let worstExcess = 0
  for (let i = 0; i < actual.length; i++) {
    const error = Math.abs(actual[i]! - expected[i]!)
    if (!(error <= Number.MAX_VALUE)) throw new Error(`${label}: element ${i} is ${actual[i]}, expected ${expected[i]}`)
    sum += error ** 2
    const excess = error - tolerance.max * scale - (tolerance.relative ?? 0) * Math.abs(expected[i]!)
    if (excess > worstExcess) {
      worstExcess = excess
      worst = i
    }
  }
  const rms = Math.sqrt(sum / Math.max(1, actual.length)) / scale
  if (worst >= 0)
    throw new Error(
      `${label}: element ${worst} is ${actual[worst]}, expected ${expected[worst]} (rms of reference ${scale}, rms error ${rms})`,
    )
  if (rms > tolerance.rms) throw new Error(`${label}: rms error ${rms} of the reference's rms exceeds ${tolerance.rms}`)
}

/** The float32 number that x is in bfloat16. */
export function roundToBFloat16(x: number): number {
  const f = new Float32Array([x])
  const bits = new Uint32Array(f.buffer)
  const b = bits[0]!
  bits[0] = ((b + 0x7fff + ((b >>> 16) & 1)) & 0xffff0000) >>> 0
  return f[0]!
}

/** bfloat16 bits of a float32 array. */
export function toBFloat16Bits(values: ArrayLike<number>): Uint16Array {
  const out = new Uint16Array(values.length)
  const f = new Float32Array(1)
  const bits = new Uint32Array(f.buffer)
  for (let i = 0; i < values.length; i++) {
    f[0] = values[i]!
    out[i] = (bits[0]! + 0x7fff + ((bits[0]! >>> 16) & 1)) >>> 16
  }
  return out
}

export function fromBFloat16Bits(bits: Uint16Array): Float32Array {
  const out = new Float32Array(bits.length)
  const words = new Uint32Array(out.buffer)
  for (let i = 0; i < bits.length; i++) words[i] = bits[i]! << 16
  return out
}

/** Numbers in [-1, 1] that depend only on the name and the index. */
export function pseudoRandom(name: string, count: number): Float32Array {
  let seed = 2166136261
  for (const char of name) seed = Math.imul(seed ^ char.codePointAt(0)!, 16777619)
  const out = new Float32Array(count)
  for (let i = 0; i < count; i++) {
    let h = Math.imul(seed ^ Math.imul(i + 1, 0x9e3779b1), 0x85ebca6b)
    h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35)
    out[i] = ((h ^ (h >>> 16)) >>> 8) / 2 ** 23 - 1
  }
  return out
}
