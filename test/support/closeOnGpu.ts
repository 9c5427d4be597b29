/** For ops whose CUDA kernels add in another order than their CPU kernels. */
import { expect } from 'vitest'
import { backward } from '../../lib/autograd/backward.ts'
import type { FloatDType } from '../../lib/tensor/dtype.ts'
import { memory } from '../../lib/tensor/runtime.ts'
import { elementCount, type Shape } from '../../lib/tensor/shape.ts'
import type { DeviceName, Tensor } from '../../lib/tensor/tensor.ts'
import { orders, setEmulation } from './emulatedGpu.ts'
import { expectClose, pseudoRandom, type Tolerance } from './float64.ts'
import { numbers, roundedTensor } from './opSuite.ts'

/** A tensor of pseudo-random numbers in [-scale, scale]. */
export function randomInput(name: string, shape: Shape, dtype: FloatDType, device: DeviceName, scale = 1): Tensor {
  const values = pseudoRandom(name, elementCount(shape)).map((x) => x * scale)
  const x = roundedTensor(values, shape, dtype, device)
  x.requiresGrad = true
  return x
}

/** The gradients that `y` sends to `inputs` from a pseudo-random gradient of its own. */
export function gradientsOf(y: Tensor, inputs: readonly (Tensor | null)[]): Tensor[] {
  const dy = roundedTensor(pseudoRandom('dy', y.size), y.shape, y.dtype as FloatDType, y.device)
  backward(y, dy)
  return inputs.flatMap((x) => (x?.grad ? [x.grad] : []))
}

/**
 * Runs `compute` on the CPU and, in every order of threads, on the emulated GPU: results must be the same bits in each order, and
 * within the tolerance of their place of the CPU's; the last tolerance holds for all further results. Both sides round what they
 * store, so a result may differ by its last bit whatever the tolerance.
 */
export async function expectCloseOnGpu(
  compute: (device: DeviceName) => readonly Tensor[],
  tolerances: readonly Tolerance[],
): Promise<void> {
  const results = (device: DeviceName): Promise<ArrayLike<number>[]> => Promise.all(compute(device).map(numbers))
  const onCpu = compute('cpu')
  const lastBits = onCpu.map((x) => lastBit[x.dtype as FloatDType])
  const expected = await Promise.all(onCpu.map(numbers))
  let first: ArrayLike<number>[] | undefined
  for (const order of orders) {
    setEmulation('ORDER', order)
    const before = memory('cuda').opsRun
    const actual = await results('cuda')
    expect(memory('cuda').opsRun, 'work done by the GPU').toBeGreaterThan(before)
    first ??= actual
    expect(
      actual.map((x, i) => Buffer.compare(bytesOf(x), bytesOf(first![i]!))),
      `bits in ${order} order`,
    ).toEqual(actual.map(() => 0))
  }
  setEmulation('ORDER', 'forward')
  expected.forEach((reference, i) => {
    const tolerance = tolerances[Math.min(i, tolerances.length - 1)]!
    const relative = Math.max(tolerance.relative ?? 0, lastBits[i]!)
    expectClose(`result ${i}`, first![i]!, reference, { ...tolerance, relative })
  })
}

/** The last bit of a number next above a power of two, as a share of it. */
const lastBit: Readonly<Record<FloatDType, number>> = { float32: 2 ** -23, bfloat16: 2 ** -7, float16: 2 ** -10 }

function bytesOf(x: ArrayLike<number>): Buffer {
  return Buffer.from(Float32Array.from(x).buffer)
}
