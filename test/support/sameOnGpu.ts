/** For ops whose CUDA kernels give the very bits of their CPU kernels. */
import { expect } from 'vitest'
import { addon } from '../../lib/native/load.ts'
import { memory } from '../../lib/tensor/runtime.ts'
import { scope } from '../../lib/tensor/scope.ts'
import type { DeviceName, Tensor } from '../../lib/tensor/tensor.ts'
import { orders, setEmulation } from './emulatedGpu.ts'

/** Runs `compute` on the CPU and, in every order of threads, on the emulated GPU; the bytes of all results must be the same. */
export async function expectSameBits(compute: (device: DeviceName) => readonly Tensor[]): Promise<void> {
  const bytes = async (device: DeviceName): Promise<Buffer[]> => {
    const results: Promise<ArrayBuffer>[] = []
    // Reads are enqueued: what they read may go when the scope ends.
    scope(() => {
      for (const x of compute(device)) results.push(addon.read(x.handle))
    })
    return (await Promise.all(results)).map((data) => Buffer.from(data))
  }
  const expected = await bytes('cpu')
  for (const order of orders) {
    setEmulation('ORDER', order)
    const before = memory('cuda').opsRun
    const actual = await bytes('cuda')
    expect(memory('cuda').opsRun, 'work done by the GPU').toBeGreaterThan(before)
    const same = actual.map((data, i) => data.equals(expected[i]!))
    expect(same, `results in ${order} order`).toEqual(expected.map(() => true))
  }
  setEmulation('ORDER', 'forward')
}
