import { afterEach, beforeAll, describe, expect, it } from 'vitest'
import { add } from '../../lib/ops/add.ts'
import { tensor } from '../../lib/tensor/create.ts'
import { cudaUnavailable } from '../../lib/tensor/runtime.ts'
import { canEmulate, orders, setEmulation } from '../support/emulatedGpu.ts'

const count = 1024
const ramp = Float32Array.from({ length: count }, (_, i) => i)

/** Runs a kernel of native/emulation/tests/mistakes.cu; its 256 threads have 1024 elements to read and to write. */
async function runKernel(name: string, order = 'forward'): Promise<Float32Array> {
  setEmulation('ORDER', order)
  setEmulation('REPLACE', `add_flat_f32_f32_kernel=${name}`)
  const a = tensor(ramp, [count], { device: 'cuda' })
  const b = tensor(ramp, [count], { device: 'cuda' })
  const y = add(a, b)
  try {
    return ((await y.read()) as Float32Array).slice(0, 256)
  } finally {
    for (const t of [a, b, y]) t.dispose()
  }
}

describe.runIf(canEmulate)('the CUDA emulation', () => {
  beforeAll(() => {
    expect(cudaUnavailable()).toBeNull()
  })
  afterEach(() => {
    setEmulation('REPLACE', '')
    setEmulation('ORDER', 'forward')
  })

  it.each(orders)('runs barriers and shared memory as CUDA does, in %s order', async (order) => {
    expect(await runKernel('right_reversal', order)).toEqual(ramp.slice(0, 256).reverse())
  })
  it.each(orders)('shows a missing barrier as wrong values, in %s order', async (order) => {
    const y = await runKernel('missing_barrier', order)
    expect(y).not.toEqual(ramp.slice(0, 256).reverse())
    expect(y.some(Number.isNaN)).toBe(true)
  })
  it.each(orders)('runs asynchronous copies as CUDA does, in %s order', async (order) => {
    expect(await runKernel('right_async_copy', order)).toEqual(ramp.slice(0, 256))
  })
  it.each(orders)('shows a forgotten wait for an asynchronous copy as NaN, in %s order', async (order) => {
    expect((await runKernel('forgotten_wait', order)).every(Number.isNaN)).toBe(true)
  })
  it.each(orders)('multiplies matrices as tensor cores do, in %s order', async (order) => {
    const product = (await runKernel('right_product', order)).slice(0, 128)
    expect(product).toEqual(Float32Array.from({ length: 128 }, (_, i) => Math.floor(i / 8) * 16 + (i % 8) + 1))
  })
  it('reports rows of a matrix that are not at multiples of 16 bytes', async () => {
    await expect(runKernel('matrix_of_odd_rows')).rejects.toThrow(
      /a row of a matrix must be 16 bytes of shared memory at an address divisible by 16, in thread 1 of block 0/,
    )
  })
  it('reports an asynchronous copy that ends outside of shared memory', async () => {
    await expect(runKernel('copy_to_global')).rejects.toThrow(
      'an asynchronous copy ends outside of shared memory, in thread 0 of block 0',
    )
  })
  it('reports a barrier that threads reach at different places', async () => {
    await expect(runKernel('divergent_barrier')).rejects.toThrow(
      /a barrier was reached at mistakes\.cu:\d+:\d+ by some threads and at mistakes\.cu:\d+:\d+ by thread 16 of block 0/,
    )
  })
  it.each(orders)('reports a deadlock with where it waits, in %s order', async (order) => {
    await expect(runKernel('deadlock', order)).rejects.toThrow(
      /deadlock: 256 of 256 threads wait; thread 0 of block 0 in a warp operation at mistakes\.cu:\d+:\d+/,
    )
  })
  it.each(orders)('reports a mask that names a lane that has ended, in %s order', async (order) => {
    await expect(runKernel('mask_with_ended_lane', order)).rejects.toThrow(
      /the warp operation at mistakes\.cu:\d+:\d+ names lane 7 in its mask, which has ended/,
    )
  })
  it('reports a mask without the lane that calls', async () => {
    await expect(runKernel('mask_without_caller')).rejects.toThrow(
      /thread 16 of block 0 is not in the mask of its warp operation at mistakes\.cu:\d+:\d+/,
    )
  })
  it('reports a warp operation that lanes reach at different places', async () => {
    await expect(runKernel('divergent_warp_operations')).rejects.toThrow(
      /a warp operation was reached at mistakes\.cu:\d+:\d+ by some lanes and at mistakes\.cu:\d+:\d+ by thread 1 of/,
    )
  })
  it('reports a write past the end of shared memory', async () => {
    await expect(runKernel('shared_overrun')).rejects.toThrow('block 0 wrote outside the shared array part')
  })
  it('reports a write past the end of a tensor', async () => {
    await expect(runKernel('write_past_end')).rejects.toThrow(
      'out of bounds: thread 255 of block 0 touched 0 bytes past the end of a buffer of 4096',
    )
  })
  it('reports a read of a null pointer', async () => {
    await expect(runKernel('read_null')).rejects.toThrow('out of bounds: thread 0 of block 0 touched a null pointer')
  })
  it('reports a thread that needs too much stack', async () => {
    await expect(runKernel('stack_overflow')).rejects.toThrow('thread 0 of block 0 used more than its 64 KiB of stack')
  })
  it('refuses an order it does not know', async () => {
    await expect(runKernel('right_reversal', 'sideways')).rejects.toThrow(
      'the order of emulated threads is forward, reverse or random:<seed>, not sideways',
    )
  })
  it('names the kernel in an error, and runs the next one as if nothing had been', async () => {
    await expect(runKernel('write_past_end')).rejects.toThrow(
      /^add: kernel add_flat_f32_f32_kernel: the CUDA driver says/,
    )
    expect(await runKernel('right_reversal')).toEqual(ramp.slice(0, 256).reverse())
    setEmulation('REPLACE', '')
    const [a, b] = [tensor(ramp, [count], { device: 'cuda' }), tensor(ramp, [count], { device: 'cuda' })]
    expect(await add(a, b).read()).toEqual(ramp.map((x) => 2 * x))
  })
})
