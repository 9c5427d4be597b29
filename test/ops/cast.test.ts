import { describe, expect, it } from 'vitest'
import { type CastOptions, cast } from '../../lib/ops/cast.ts'
import { tensor } from '../../lib/tensor/create.ts'
import { cpuTargets, setCpuTarget } from '../../lib/tensor/runtime.ts'
import type { Tensor } from '../../lib/tensor/tensor.ts'
import { array64 } from '../support/float64.ts'
import { elementwiseTolerance, opSuite } from '../support/opSuite.ts'

opSuite<readonly [x: Tensor], CastOptions>(cast, {
  oracle: ([x]) => array64(x!.shape, x!.data),
  tolerance: elementwiseTolerance,
  cases: [
    { name: 'to float32', inputs: [{ shape: [3, 77] }], options: { dtype: 'float32' } },
    { name: 'to bfloat16', inputs: [{ shape: [40001] }], options: { dtype: 'bfloat16' } },
    { name: 'to float16', inputs: [{ shape: [40001] }], options: { dtype: 'float16' } },
  ],
})

/** The number that float16 bits stand for. */
function float16(bits: number): number {
  const exponent = (bits >> 10) & 31
  const fraction = bits & 1023
  const sign = bits >> 15 ? -1 : 1
  if (exponent === 31) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY
  return sign * (exponent ? (1 + fraction / 1024) * 2 ** (exponent - 15) : fraction * 2 ** -24)
}

describe.each(cpuTargets())('cast on %s', (target) => {
  it('reads every float16 number and writes it back', async () => {
    setCpuTarget(target)
    const bits = Uint16Array.from({ length: 65536 }, (_, i) => i)
    const wide = cast(tensor(bits, [65536], { dtype: 'float16' }), { dtype: 'float32' })
    const values = (await wide.read()) as Float32Array
    const back = (await cast(wide, { dtype: 'float16' }).read()) as Uint16Array
    bits.forEach((pattern) => {
      const expected = float16(pattern)
      if (!Object.is(values[pattern], expected)) throw new Error(`float16 ${pattern} became ${values[pattern]}`)
      if (!Number.isNaN(expected) && back[pattern] !== pattern)
        throw new Error(`float16 ${pattern} became ${back[pattern]}`)
    })
  })
  it('rounds ties to even', async () => {
    setCpuTarget(target)
    const halves = tensor([1 + 2 ** -11, 1 + 3 * 2 ** -11, 65519, 65520, 2 ** -25, 1.5 * 2 ** -24], [6])
    expect(Array.from((await cast(halves, { dtype: 'float16' }).read()) as Uint16Array)).toEqual([
      0x3c00, 0x3c02, 0x7bff, 0x7c00, 0, 2,
    ])
    const brains = tensor([1 + 2 ** -8, 1 + 3 * 2 ** -8], [2])
    expect(Array.from((await cast(brains, { dtype: 'bfloat16' }).read()) as Uint16Array)).toEqual([0x3f80, 0x3f82])
  })
  it('goes towards zero and stays in range on the way to integers', async () => {
    setCpuTarget(target)
    const x = tensor([1.9, -1.9, 300, -300, 3e9, -3e9, Number.NaN, Number.POSITIVE_INFINITY], [8])
    expect(Array.from((await cast(x, { dtype: 'uint8' }).read()) as Uint8Array)).toEqual([1, 0, 255, 0, 255, 0, 0, 255])
    expect(Array.from((await cast(x, { dtype: 'int8' }).read()) as Int8Array)).toEqual([
      1, -1, 127, -128, 127, -128, 0, 127,
    ])
    expect(Array.from((await cast(x, { dtype: 'int32' }).read()) as Int32Array)).toEqual([
      1,
      -1,
      300,
      -300,
      2 ** 31 - 1,
      -(2 ** 31),
      0,
      2 ** 31 - 1,
    ])
    expect(Array.from((await cast(x, { dtype: 'bool' }).read()) as Uint8Array)).toEqual([1, 1, 1, 1, 1, 1, 1, 1])
  })
  it('keeps 64-bit integers exact among integers', async () => {
    setCpuTarget(target)
    const x = tensor(BigInt64Array.of(7n, -1n, 2n ** 33n + 5n), [3])
    expect(Array.from((await cast(x, { dtype: 'int32' }).read()) as Int32Array)).toEqual([7, -1, 5])
    const bytes = cast(tensor(Uint8Array.of(0, 200), [2]), { dtype: 'int64' })
    expect(Array.from((await bytes.read()) as BigInt64Array)).toEqual([0n, 200n])
  })
})

describe('cast', () => {
  it('names the nearest dtype for an unknown one', () => {
    expect(() => cast(tensor([1], [1]), { dtype: 'float23' as 'float32' })).toThrow('Did you mean "float32"?')
  })
  it('refuses to lose a gradient', () => {
    const x = tensor([1], [1])
    x.requiresGrad = true
    expect(() => cast(x, { dtype: 'int32' })).toThrow('a float type where a gradient is wanted')
  })
})
