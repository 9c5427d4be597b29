/** Ops that move, convert or make single elements: their CUDA kernels, in the emulation, give the CPU's bits. */
import { describe, expect, it } from 'vitest'
import { backward } from '../../lib/autograd/backward.ts'
import { accumulate, copyInto, scaleInPlace } from '../../lib/ops/accumulate.ts'
import { cast } from '../../lib/ops/cast.ts'
import { concatBatch } from '../../lib/ops/concatBatch.ts'
import { contiguous } from '../../lib/ops/contiguous.ts'
import { permute } from '../../lib/ops/permute.ts'
import { dequantizeBlockwise, quantizeBlockwise } from '../../lib/ops/quantizeBlockwise.ts'
import { reshape } from '../../lib/ops/reshape.ts'
import { slice } from '../../lib/ops/slice.ts'
import { storeParameter } from '../../lib/ops/storeParameter.ts'
import { sum } from '../../lib/ops/sum.ts'
import { trainRows } from '../../lib/ops/trainRows.ts'
import { full, randomNormal, randomUniform, tensor } from '../../lib/tensor/create.ts'
import { type DType, dtypes } from '../../lib/tensor/dtype.ts'
import type { DeviceName, Tensor } from '../../lib/tensor/tensor.ts'
import { canEmulate } from '../support/emulatedGpu.ts'
import { pseudoRandom } from '../support/float64.ts'
import { roundedTensor } from '../support/opSuite.ts'
import { expectSameBits } from '../support/sameOnGpu.ts'

const floats = ['float32', 'bfloat16', 'float16'] as const
const lengths = [1, 7, 8, 2053]

/** Whole numbers of any type, among them what does not fit others, or bits of float8_e4m3fn. */
function integers(dtype: DType, count: number, device: DeviceName): Tensor {
  const values = Array.from({ length: count }, (_, i) => (i * 37) % 256)
  if (dtype === 'int64')
    return tensor(
      BigInt64Array.from(values, (x) => BigInt(x - 128) * 0x3_0000_0001n),
      [count],
      { device },
    )
  if (dtype === 'int32')
    return tensor(
      Int32Array.from(values, (x) => (x - 128) * 0xff_ffff),
      [count],
      { device },
    )
  if (dtype === 'int8')
    return tensor(
      Int8Array.from(values, (x) => x - 128),
      [count],
      { device },
    )
  return tensor(
    // Codes of float8_e4m3fn that are not numbers become NaN of any pattern.
    Uint8Array.from(values, (x) => (dtype === 'bool' || x % 128 === 127 ? x % 3 : x)),
    [count],
    { dtype, device },
  )
}

const specials = [Number.NaN, Infinity, -Infinity, 65520, 65519, 2 ** -25, 1.5 * 2 ** -24, -(2 ** -20), 3e9, -300, 1.9]

/** Floats of all sizes, and those that conversions treat apart. */
function numbersOf(dtype: DType, count: number, device: DeviceName): Tensor {
  if (dtype !== 'float32' && dtype !== 'bfloat16' && dtype !== 'float16') return integers(dtype, count, device)
  const values = Array.from(pseudoRandom(dtype, count), (x, i) => specials[i] ?? x * 2 ** ((i % 60) - 30))
  return roundedTensor(values, [count], dtype, device)
}

describe.runIf(canEmulate)('elements on the GPU', () => {
  it.each(floats)('are changed in place in %s', async (dtype) => {
    for (const count of lengths)
      for (const other of floats)
        await expectSameBits((device) => {
          const make = (name: string, type: typeof dtype): Tensor =>
            roundedTensor(pseudoRandom(name, count), [count], type, device)
          const [sumOf, copy, scaled, cleared] = ['a', 'b', 'c', 'd'].map((name) => make(name, dtype))
          accumulate(sumOf!, make('x', other))
          copyInto(copy!, make('x', other))
          scaleInPlace(scaled!, 0.3)
          scaleInPlace(cleared!, 0)
          return [sumOf!, copy!, scaled!, cleared!]
        })
  })
  it('are copied whatever their type', async () => {
    for (const dtype of dtypes)
      await expectSameBits((device) => {
        const y = full([53], 0, { dtype, device })
        copyInto(y, numbersOf(dtype, 53, device))
        return [y]
      })
  })
  it.each(dtypes)('are converted from %s', async (from) => {
    for (const to of dtypes)
      for (const count of lengths)
        await expectSameBits((device) => {
          const x = numbersOf(from, count + 1, device)
          // Which of the 16-bit patterns that are not numbers a conversion gives is the device's choice: the first is left out.
          return [cast(contiguous(slice(x, { axis: 0, start: 1, end: count + 1 })), { dtype: to })]
        })
  })
  it('are made with one value', async () => {
    for (const dtype of dtypes)
      for (const count of [1, 15, 16, 17, 4099])
        await expectSameBits((device) => [1, 3.3, 0].map((value) => full([count], value, { dtype, device })))
  })
  it('are random numbers, the same as on the CPU', async () => {
    for (const count of [1, 5, 8, 4099])
      for (const [seed, stream] of [
        [0, 0],
        [0xfedcba9876543210n, 0x123456789abcdef0n],
      ] as const)
        await expectSameBits((device) => [
          randomNormal([count], { seed, stream, device }),
          randomUniform([count], { seed, stream, low: -2, high: 3, device }),
        ])
  })
  it('are packed from views of every item size', async () => {
    for (const dtype of ['uint8', 'bfloat16', 'int32', 'int64'] as const)
      for (const [rows, columns] of [
        [70, 45],
        [32, 64],
        [3, 130],
      ] as const)
        await expectSameBits((device) => {
          const x = reshape(numbersOf(dtype, rows * columns * 2, device), { shape: [2, rows, columns] })
          return [
            contiguous(permute(x, { axes: [0, 2, 1] })),
            contiguous(permute(x, { axes: [1, 0, 2] })),
            contiguous(slice(x, { axis: 2, start: 1, end: columns })),
            contiguous(slice(permute(x, { axes: [2, 1, 0] }), { axis: 0, start: 3, end: columns })),
          ]
        })
  })
  it('are joined along the first axis', async () => {
    await expectSameBits((device) => [
      concatBatch([3, 1, 5].map((n, i) => roundedTensor(pseudoRandom(`p${i}`, n * 7), [n, 7], 'bfloat16', device))),
      concatBatch([16, 32].map((n) => integers('int32', n, device))),
    ])
  })
  it.each(floats)('go into the layout of files from %s', async (from) => {
    for (const shape of [
      [3, 1, 1, 5],
      [7, 3, 3, 33],
      [2, 2, 5, 137],
    ])
      for (const dtype of floats)
        for (const layout of ['same', 'conv'] as const)
          await expectSameBits((device) => {
            const x = cast(randomNormal(shape, { seed: 5, device }), { dtype: from })
            return [storeParameter(x, { layout, dtype })]
          })
  })
  it('send the gradient of some rows to them alone', async () => {
    await expectSameBits((device) => {
      const whole = randomNormal([5, 3], { seed: 1, device })
      const rows = contiguous(slice(whole, { axis: 0, start: 2, end: 4 }))
      rows.requiresGrad = true
      backward(sum(trainRows(whole, rows, { start: 2 })))
      return [rows.grad!]
    })
  })
  it.each(floats)('become codes of 8 bits from %s, and numbers again', async (dtype) => {
    for (const count of [1, 255, 257, 2053])
      for (const signed of [true, false])
        await expectSameBits((device) => {
          const values = pseudoRandom('codes', count).map((x, i) => (i % 5 === 0 ? 0 : x * 10 ** -(i % 7)))
          const x = roundedTensor(values.fill(0, 256, 512), [count], dtype, device)
          const quantized = quantizeBlockwise(x, { signed })
          return [quantized.codes, quantized.absmax, dequantizeBlockwise(quantized, { signed })]
        })
  })
  it('are made on the device that is asked for', () => {
    expect(full([2], 1, { device: 'cuda' }).device).toBe('cuda')
    expect(full([2], 1).device).toBe('cpu')
  })
})
