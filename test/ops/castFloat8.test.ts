import { fileURLToPath } from 'node:url'
import { beforeAll, describe, expect, it } from 'vitest'
import { openSafetensors } from '../../lib/io/safetensors.ts'
import { float32ToBytes } from '../../lib/io/tensorBytes.ts'
import { cast } from '../../lib/ops/cast.ts'
import { full, tensor } from '../../lib/tensor/create.ts'
import type { FloatDType } from '../../lib/tensor/dtype.ts'
import { cpuTargets, setCpuTarget } from '../../lib/tensor/runtime.ts'
import type { DeviceName } from '../../lib/tensor/tensor.ts'
import { canEmulate } from '../support/emulatedGpu.ts'

/** What PyTorch's casts give. */
let values: Float32Array
let rounded: Uint8Array
let codes: Uint8Array
let wide: Float32Array
beforeAll(async () => {
  const file = await openSafetensors(fileURLToPath(new URL('../fixtures/float8/float8.safetensors', import.meta.url)))
  values = await file.readFloat32('values')
  wide = await file.readFloat32('wide')
  expect(file.info('rounded').dtype).toBe('F8_E4M3')
  rounded = (await file.read('rounded')).slice()
  codes = (await file.read('codes')).slice()
  expect(await file.readFloat32('codes')).toEqual(wide)
  await file.close()
})

const isNaNCode = (code: number): boolean => (code & 0x7f) === 0x7f

function expectRounded(found: Uint8Array): void {
  expect(found).toHaveLength(rounded.length)
  found.forEach((code, i) => {
    const same = code === rounded[i] || (isNaNCode(code) && isNaNCode(rounded[i]!))
    if (!same) throw new Error(`${values[i]} became ${code}, expected ${rounded[i]}`)
  })
}

function castsAsPyTorch(device: DeviceName): void {
  it('rounds float32 as PyTorch does, ties, subnormal numbers, too large ones and NaN among them', async () => {
    const narrow = cast(tensor(values, [values.length], { device }), { dtype: 'float8_e4m3fn' })
    expectRounded((await narrow.read()) as Uint8Array)
  })
  it.each<FloatDType>(['float32', 'bfloat16', 'float16'])('widens all 256 codes exactly to %s', async (dtype) => {
    // 253 of them too, so that a vector is not full.
    for (const count of [256, 253]) {
      const widened = cast(tensor(codes.slice(0, count), [count], { dtype: 'float8_e4m3fn', device }), { dtype })
      const back = (await cast(widened, { dtype: 'float32' }).read()) as Float32Array
      expect(back).toEqual(wide.slice(0, count))
      const again = (await cast(widened, { dtype: 'float8_e4m3fn' }).read()) as Uint8Array
      again.forEach((code, i) => {
        if (!isNaNCode(i)) expect(code).toBe(i)
      })
    }
  })
  it('fills, and goes through integers and bool', async () => {
    const filled = full([5], -1.6, { dtype: 'float8_e4m3fn', device })
    expect(Array.from((await cast(filled, { dtype: 'float32' }).read()) as Float32Array)).toEqual(Array(5).fill(-1.625))
    expect(Array.from((await cast(filled, { dtype: 'int32' }).read()) as Int32Array)).toEqual(Array(5).fill(-1))
    expect(Array.from((await cast(filled, { dtype: 'bool' }).read()) as Uint8Array)).toEqual(Array(5).fill(1))
    const counts = cast(tensor(Int32Array.of(3, 17, -500), [3], { device }), { dtype: 'float8_e4m3fn' })
    const read = Array.from((await cast(counts, { dtype: 'float32' }).read()) as Float32Array)
    expect(read).toEqual([3, 16, -448])
  })
}

describe.each(cpuTargets())('cast to and from float8_e4m3fn on %s', (target) => {
  beforeAll(() => {
    setCpuTarget(target)
  })
  castsAsPyTorch('cpu')
})
describe.runIf(canEmulate)('cast to and from float8_e4m3fn on the emulated GPU', () => castsAsPyTorch('cuda'))

describe('float8_e4m3fn', () => {
  it('is written to files as PyTorch rounds it', () => expectRounded(float32ToBytes(values, 'F8_E4M3')))
  it('is made of bits, not of numbers', () => {
    expect(() => tensor([1, 2], [2], { dtype: 'float8_e4m3fn' })).toThrow('a typed array of float8_e4m3fn bits')
  })
})
