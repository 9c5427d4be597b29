import { describe, expect, it } from 'vitest'

describe('equality of arrays of numbers', () => {
  it('is that of their bytes, at any depth', () => {
    expect(Float32Array.of(1, Number.NaN, -0)).toEqual(Float32Array.of(1, Number.NaN, -0))
    expect({ a: [Uint8Array.of(1, 2)] }).toEqual({
      a: [Buffer.from([0, 1, 2]).subarray(1)].map((b) => Uint8Array.from(b)),
    })
  })

  it('sees one number, one more, a sign of zero and another type', () => {
    const long = new Float32Array(1000)
    expect(long.with(999, 1)).not.toEqual(long)
    expect({ long: long.with(999, 1) }).not.toEqual({ long })
    expect(new Float32Array(1001)).not.toEqual(long)
    expect(Float32Array.of(-0)).not.toEqual(Float32Array.of(0))
    expect(Int32Array.of(0)).not.toEqual(Float32Array.of(0))
  })
})
