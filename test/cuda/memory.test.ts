import { describe, expect, it } from 'vitest'
import { add } from '../../lib/ops/add.ts'
import { full, zeros } from '../../lib/tensor/create.ts'
import { memory } from '../../lib/tensor/runtime.ts'
import { NativeError, OutOfMemoryError } from '../../lib/util/errors.ts'
import { canEmulate, setEmulation } from '../support/emulatedGpu.ts'

const device = 'cuda'
const kilo = 256 // float32 numbers

/** Buffers alive once everything enqueued has run. */
async function buffers(): Promise<number> {
  const last = zeros([1], { device })
  await last.read()
  last.dispose()
  return memory(device).liveBuffers
}

// Too little for the pinned blocks' twins, so that copies take the driver's own way as well.
describe.runIf(canEmulate)('a GPU with 1 MiB of memory', () => {
  setEmulation('DEVICE', `1,80,99000,${1 << 20}`)

  it('gives up what it kept for reuse when it needs the room', async () => {
    const before = await buffers()
    const first = full([640 * kilo], 1, { device })
    await first.read()
    first.dispose()
    await buffers()
    expect(memory(device).cachedBytes).toBeGreaterThanOrEqual(640 << 10)
    const second = full([768 * kilo], 2, { device })
    expect((await second.read()).every((x) => x === 2)).toBe(true)
    expect(memory(device).cachedBytes).toBeLessThan(64 << 10)
    second.dispose()
    expect(await buffers()).toBe(before)
  })
  it('names op and bytes when there is none, and goes on', async () => {
    const before = await buffers()
    const x = full([640 * kilo], 3, { device })
    await x.read()
    const sum = add(x, x)
    const failure = await sum.read().then(
      () => null,
      (error: unknown) => error,
    )
    expect(failure).toBeInstanceOf(OutOfMemoryError)
    expect(failure).toMatchObject({ code: 'ERR_OUT_OF_MEMORY', op: 'add' })
    expect((failure as Error).message).toMatch(
      /^add: out of memory: needed 655360 bytes with \d+ in use; the GPU has \d+ of its 1048576 bytes free/,
    )
    sum.dispose()
    const small = full([kilo], 1, { device })
    const fine = add(small, small)
    expect((await fine.read()).every((y) => y === 2)).toBe(true)
    expect((await x.read()).every((y) => y === 3)).toBe(true)
    for (const t of [x, small, fine]) t.dispose()
    expect(await buffers()).toBe(before)
  })
})

describe.runIf(canEmulate)('what the driver refuses', () => {
  it.each([
    ['cuLaunchKernel=2', OutOfMemoryError, 'CUDA_ERROR_OUT_OF_MEMORY'],
    ['cuLaunchKernel=1', NativeError, 'CUDA_ERROR_INVALID_VALUE'],
    ['cuLaunchKernel=700', NativeError, 'CUDA_ERROR_ILLEGAL_ADDRESS'],
  ] as const)('is an error with op and code: %s', async (failure, type, driverCode) => {
    const x = zeros([4], { device })
    await x.read()
    setEmulation('FAIL', failure)
    const sum = add(x, x)
    const error = await sum.read().then(
      () => null,
      (reason: unknown) => reason,
    )
    setEmulation('FAIL', '')
    expect(error).toBeInstanceOf(type)
    expect(error).toMatchObject({ op: 'add', driverCode })
    for (const t of [x, sum]) t.dispose()
  })
})
