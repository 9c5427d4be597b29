/** float8_e4m3fn: sign, 4 bits of exponent with bias 7, 3 of fraction; no infinities, NaN where all other bits are set. */

/** float8_e4m3fn bits to float32, exactly. */
export function float8ToFloat32(bits: Uint8Array): Float32Array {
  return Float32Array.from(bits, (each) => wide[each]!)
}

/** float32 to the nearest float8_e4m3fn, ties to even; larger ones become 448, the largest, as in PyTorch. */
export function float32ToFloat8(values: Float32Array): Uint8Array {
  const words = new Uint32Array(values.buffer, values.byteOffset, values.length)
  return Uint8Array.from(words, (word, i) => ((word >>> 24) & 0x80) | narrow(Math.abs(values[i]!)))
}

const wide = Float32Array.from({ length: 256 }, (_, bits) => {
  const [sign, exponent, fraction] = [bits & 0x80 ? -1 : 1, (bits >> 3) & 15, bits & 7]
  if ((bits & 0x7f) === 0x7f) return Number.NaN
  return sign * (exponent === 0 ? fraction * 2 ** -9 : (8 + fraction) * 2 ** (exponent - 10))
})

/** The bits of a magnitude. */
function narrow(magnitude: number): number {
  if (!(magnitude <= 448)) return magnitude > 448 ? 0x7e : 0x7f
  const exponent = Math.max(1, Math.floor(Math.log2(magnitude)) + 7)
  // Steps of the numbers with that exponent, exact but for the rounding asked for. A carry makes the next exponent.
  return (exponent - 1) * 8 + roundToEven(magnitude * 2 ** (10 - exponent))
}

function roundToEven(x: number): number {
  const low = Math.floor(x)
  const rest = x - low
  return rest > 0.5 || (rest === 0.5 && low % 2 === 1) ? low + 1 : low
}
