import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { openSafetensors } from '../../lib/io/safetensors.ts'
import { bfloat16ToFloat32, float16ToFloat32, float32ToBfloat16, float32ToFloat16 } from '../../lib/util/float16.ts'

const fixture = fileURLToPath(new URL('../fixtures/safetensorsFile/conversions.safetensors', import.meta.url))

async function readFixture(): Promise<{ values: Float32Array; float16: Uint16Array; bfloat16: Uint16Array }> {
  const file = await openSafetensors(fixture)
  const halves = async (name: string): Promise<Uint16Array> => new Uint16Array((await file.read(name)).buffer)
  const result = {
    values: await file.readFloat32('values'),
    float16: await halves('float16'),
    bfloat16: await halves('bfloat16'),
  }
  await file.close()
  return result
}

describe('16-bit floats', () => {
  it('narrow to the same bits as PyTorch, ties, subnormals and overflow included', async () => {
    const { values, float16, bfloat16 } = await readFixture()
    expect(values.length).toBeGreaterThan(10_000)
    expect(float32ToFloat16(values)).toEqual(float16)
    expect(float32ToBfloat16(values)).toEqual(bfloat16)
  })

  it('widen every float16 and come back to the same bits', () => {
    const all = Uint16Array.from({ length: 65536 }, (_, i) => i)
    const back = float32ToFloat16(float16ToFloat32(all))
    const isNaNBits = (bits: number): boolean => (bits & 0x7fff) > 0x7c00
    for (let i = 0; i < 65536; i++) {
      if (isNaNBits(i)) expect(isNaNBits(back[i]!)).toBe(true)
      else if (back[i] !== i) expect.fail(`float16 bits ${i} came back as ${back[i]}`)
    }
  })

  it('widen to the known values', () => {
    expect([...float16ToFloat32(Uint16Array.of(0x3c00, 0xc000, 0x7bff, 0x0001, 0x0400, 0x7c00, 0x8000))]).toEqual([
      1,
      -2,
      65504,
      2 ** -24,
      2 ** -14,
      Infinity,
      -0,
    ])
    expect([...bfloat16ToFloat32(Uint16Array.of(0x3f80, 0xc000, 0x0001, 0xff80))]).toEqual([
      1,
      -2,
      2 ** -133,
      -Infinity,
    ])
  })

  it('keep a NaN a NaN even when its payload lies in the bits cut off', () => {
    const nan = new Float32Array(Uint32Array.of(0x7f800001, 0xffffffff).buffer)
    expect([...float16ToFloat32(float32ToFloat16(nan))]).toEqual([NaN, NaN])
    expect([...bfloat16ToFloat32(float32ToBfloat16(nan))]).toEqual([NaN, NaN])
  })

  it('convert a view that starts inside its buffer', () => {
    const view = new Float32Array(Float32Array.of(9, 1, 2, 9).buffer, 4, 2)
    expect([...float32ToBfloat16(view)]).toEqual([0x3f80, 0x4000])
  })
})
