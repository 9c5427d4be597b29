/**
 * Conversions between float32 and the two 16-bit floats, over whole typed arrays. 16-bit values are held as their bits in
 * a Uint16Array. Narrowing rounds to nearest, ties to even, as IEEE 754 and every other tool does; widening is exact.
 */

/** float32 to float16 (5 exponent bits, 10 fraction bits). Values from 65520 on become infinity. */
export function float32ToFloat16(values: Float32Array): Uint16Array {
  const bits = bitsOf(values)
  const out = new Uint16Array(bits.length)
  for (let i = 0; i < bits.length; i++) {
    const word = bits[i]!
    const sign = (word >>> 16) & 0x8000
    const magnitude = word & 0x7fffffff
    out[i] = sign | (magnitude >= 0x38800000 ? narrowNormal(magnitude) : narrowSubnormal(magnitude))
  }
  return out
}

/** Magnitudes of 2^-14 and above: rebias the exponent, round the fraction; the carry may run into the exponent. */
function narrowNormal(magnitude: number): number {
  if (magnitude > 0x7f800000) return 0x7e00 | ((magnitude >>> 13) & 0x3ff) // NaN, made quiet
  if (magnitude >= 0x47800000) return 0x7c00 // 65536 and above, infinity
  const rebiased = magnitude - 0x38000000
  return (rebiased + 0xfff + ((rebiased >>> 13) & 1)) >>> 13
}

/** Magnitudes below 2^-14: a count of steps of 2^-24. */
function narrowSubnormal(magnitude: number): number {
  const shift = 126 - (magnitude >>> 23)
  if (shift > 24) return 0
  const fraction = (magnitude & 0x7fffff) | 0x800000
  const steps = fraction >>> shift
  const rest = fraction & ((1 << shift) - 1)
  const half = 1 << (shift - 1)
  return rest > half || (rest === half && (steps & 1) === 1) ? steps + 1 : steps
}

/** float16 bits to float32, exactly. */
export function float16ToFloat32(bits: Uint16Array): Float32Array {
  wideTable ??= buildWideTable()
  const table = wideTable
  const out = new Float32Array(bits.length)
  const outBits = new Uint32Array(out.buffer)
  for (let i = 0; i < bits.length; i++) outBits[i] = table[bits[i]!]!
  return out
}

/** The float32 bits of all 65,536 float16 values; built at the first use (256 KiB). */
let wideTable: Uint32Array | undefined

function buildWideTable(): Uint32Array {
  const table = new Uint32Array(65536)
  const value = new Float32Array(1)
  const bits = new Uint32Array(value.buffer)
  for (let half = 0; half < 65536; half++) {
    const sign = (half & 0x8000) << 16
    const exponent = (half >>> 10) & 0x1f
    const fraction = half & 0x3ff
    if (exponent === 0) {
      value[0] = fraction * 2 ** -24
      table[half] = sign | bits[0]!
    } else if (exponent === 31) {
      table[half] = sign | 0x7f800000 | (fraction << 13)
    } else {
      table[half] = sign | ((exponent + 112) << 23) | (fraction << 13)
    }
  }
  return table
}

/** float32 to bfloat16 (the upper half of a float32). */
export function float32ToBfloat16(values: Float32Array): Uint16Array {
  const bits = bitsOf(values)
  const out = new Uint16Array(bits.length)
  for (let i = 0; i < bits.length; i++) {
    const word = bits[i]!
    const nan = (word & 0x7fffffff) > 0x7f800000
    out[i] = nan ? (word >>> 16) | 0x40 : (word + 0x7fff + ((word >>> 16) & 1)) >>> 16
  }
  return out
}

/** bfloat16 bits to float32, exactly. */
export function bfloat16ToFloat32(bits: Uint16Array): Float32Array {
  const out = new Float32Array(bits.length)
  const outBits = new Uint32Array(out.buffer)
  for (let i = 0; i < bits.length; i++) outBits[i] = bits[i]! << 16
  return out
}

function bitsOf(values: Float32Array): Uint32Array {
  return new Uint32Array(values.buffer, values.byteOffset, values.length)
}
