import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { accumulate } from '../../lib/ops/accumulate.ts'
import { add } from '../../lib/ops/add.ts'
import { tensor } from '../../lib/tensor/create.ts'
import { memory } from '../../lib/tensor/runtime.ts'
import type { Tensor } from '../../lib/tensor/tensor.ts'
import { runAddon } from '../support/addonProcess.ts'
import { canEmulate, fakeDriver, setEmulation } from '../support/emulatedGpu.ts'

const device = 'cuda'

/** More than twice what the ring of pinned blocks holds, with an end that fills no block. */
const large = Float32Array.from({ length: 5 * 2 ** 20 + 1234 }, (_, i) => i)

async function comesBack(numbers: Float32Array): Promise<boolean> {
  const x = tensor(numbers, [numbers.length], { device })
  const back = await x.read()
  x.dispose()
  return Buffer.from(back.buffer, back.byteOffset, back.byteLength).equals(Buffer.from(numbers.buffer))
}

/** 1 + 2 + ... + 40, each number uploaded between kernels that use those before. */
async function sumOfUploads(): Promise<number> {
  let sum = tensor([0], [1], { device })
  const made: Tensor[] = [sum]
  for (let i = 1; i <= 40; i++) {
    const next = tensor([i], [1], { device })
    sum = add(sum, next)
    made.push(next, sum)
  }
  const [result] = await sum.read()
  for (const t of made) t.dispose()
  return Number(result)
}

describe.runIf(canEmulate).each(['late', 'early'])('copies that are made as %s as events allow', (when) => {
  afterEach(() => {
    setEmulation('FAIL', '')
    setEmulation('STREAMS', 'late')
  })

  it('bring large tensors there and back', async () => {
    setEmulation('STREAMS', when)
    expect(await comesBack(large)).toBe(true)
  })
  it('come in the order of the kernels', async () => {
    setEmulation('STREAMS', when)
    expect(await sumOfUploads()).toBe(820)
  })
  it('never wait for all that a stream has to do', async () => {
    setEmulation('STREAMS', when)
    setEmulation('FAIL', 'cuStreamSynchronize=999')
    expect([await comesBack(large), await sumOfUploads()]).toEqual([true, 820])
  })
  it('keep no memory', async () => {
    const count = async (): Promise<number> => {
      const last = tensor([0], [1], { device })
      await last.read()
      last.dispose()
      return memory(device).liveBuffers
    }
    const before = await count()
    await comesBack(large)
    await sumOfUploads()
    expect(await count()).toBe(before)
  })
})

/** Waits until the device has run an op more than so many, which no read has to tell. */
async function runBeyond(ops: number): Promise<void> {
  while (memory(device).opsRun <= ops) await new Promise((resolve) => setTimeout(resolve, 1))
}

describe.runIf(canEmulate).each(['late', 'early'])(
  'a read under way, with copies made as %s as events allow',
  (when) => {
    beforeEach(async () => {
      await comesBack(large.slice(0, 10)) // the rings are there
      setEmulation('STREAMS', when)
    })
    afterEach(() => {
      for (const setting of ['FAIL', 'HOLD'] as const) setEmulation(setting, '')
      setEmulation('STREAMS', 'late')
    })

    it('lets the device go on, and brings what the tensor held when it was called', async () => {
      const [x, one] = [tensor([1, 2, 3], [3], { device }), tensor([1, 1, 1], [3], { device })]
      expect([...(await x.read())]).toEqual([1, 2, 3])
      setEmulation('HOLD', '1')
      const settled: string[] = []
      const first = x.read().then((values) => settled.push(`first ${[...values]}`))
      const { opsRun } = memory(device)
      for (let i = 0; i < 20; i++) accumulate(x, one)
      const second = x.read().then((values) => settled.push(`second ${[...values]}`))
      await runBeyond(opsRun + 20)
      expect(settled).toEqual([])
      setEmulation('HOLD', '0')
      await Promise.all([first, second])
      expect(settled).toEqual(['first 1,2,3', 'second 21,22,23'])
      for (const t of [x, one]) t.dispose()
    })
    it('waits for room when it is larger than the ring, and settles in its turn', async () => {
      const x = tensor(large, [large.length], { device })
      const small = tensor([5], [1], { device })
      const order: string[] = []
      const reads = [x, small, x, small].map((t, i) => t.read().then((values) => order.push(`${i}: ${values.length}`)))
      await Promise.all(reads)
      expect(order).toEqual([`0: ${large.length}`, '1: 1', `2: ${large.length}`, '3: 1'])
      for (const t of [x, small]) t.dispose()
    })
    it('hears of a failure in its own copy, and not of one in an op that came later', async () => {
      const [x, one] = [tensor([1], [1], { device }), tensor([1], [1], { device })]
      const sum = add(x, one)
      await sum.read()
      setEmulation('HOLD', '1')
      const { opsRun } = memory(device)
      const before = x.read()
      await runBeyond(opsRun)
      setEmulation('FAIL', 'cuLaunchKernel=1')
      accumulate(x, one)
      await runBeyond(opsRun + 1)
      setEmulation('FAIL', '')
      setEmulation('HOLD', '0')
      expect([...(await before)]).toEqual([1])
      await expect(sum.read()).rejects.toMatchObject({ op: 'accumulate', driverCode: 'CUDA_ERROR_INVALID_VALUE' })
      setEmulation('FAIL', 'cuEventSynchronize=700')
      const failing = await Promise.allSettled([x.read(), one.read()])
      setEmulation('FAIL', '')
      for (const each of failing) {
        expect(each.status).toBe('rejected')
        const { reason } = each as PromiseRejectedResult
        expect(reason).toMatchObject({ op: 'read', driverCode: 'CUDA_ERROR_ILLEGAL_ADDRESS' })
        expect(reason.message).toContain(
          'read: download, or a kernel before it (NOISEWRIGHT_CUDA_WAIT=1 tells which): ',
        )
      }
      expect([...(await x.read()), ...(await one.read())]).toEqual([1, 1])
      for (const t of [x, one, sum]) t.dispose()
    })
    it('leaves nothing when asking for it fails', async () => {
      const x = tensor(large, [large.length], { device })
      await x.read()
      const { liveBuffers } = memory(device)
      setEmulation('FAIL', 'cuMemcpyDtoHAsync_v2=1')
      await expect(x.read()).rejects.toThrow('read: download: the CUDA driver says CUDA_ERROR_INVALID_VALUE')
      setEmulation('FAIL', '')
      const back = (await x.read()) as Float32Array
      expect(Buffer.from(back.buffer).equals(Buffer.from(large.buffer))).toBe(true)
      expect(memory(device).liveBuffers).toBe(liveBuffers)
      x.dispose()
    })
  },
)

describe.runIf(canEmulate)('a process that ends', () => {
  it('does not wait for a read that nobody waits for', () => {
    const script = `
      const x = addon.fromBytes('cuda', new Uint8Array(4), [1], 'float32')
      await addon.read(x)
      process.env.NOISEWRIGHT_EMULATION_HOLD = '1'
      addon.read(x)
      console.log('over')
      process.exit(0)`
    expect(runAddon(script, { NOISEWRIGHT_LIBCUDA: fakeDriver! })).toBe('over')
  })
})

describe.runIf(canEmulate)('a missing event', () => {
  afterEach(() => {
    setEmulation('FAIL', '')
    setEmulation('STREAMS', 'late')
  })

  it.each([
    ['late', 'cuStreamWaitEvent'],
    ['late', 'cuEventSynchronize'],
    ['late', 'cuEventRecord'],
    ['early', 'cuStreamWaitEvent'],
    ['early', 'cuEventRecord'],
  ])('is seen when copies come %s and %s does nothing', async (when, ignored) => {
    await comesBack(large.slice(0, 10)) // the ring is there
    setEmulation('STREAMS', when)
    setEmulation('FAIL', `${ignored}=0`)
    expect(await comesBack(large)).toBe(false)
  })
})

describe.runIf(canEmulate)('without pinned memory', () => {
  it.each(['cuMemHostAlloc=2', 'cuEventCreate=999'])('copies go the slow way: %s', (failure) => {
    const script = `
      const numbers = Float32Array.from({ length: 700000 }, (_, i) => i)
      const x = addon.fromBytes('cuda', new Uint8Array(numbers.buffer), [numbers.length], 'float32')
      const back = new Float32Array(await addon.read(addon.addForward(x, x, 0)))
      console.log(back.every((y, i) => y === 2 * i))`
    expect(runAddon(script, { NOISEWRIGHT_LIBCUDA: fakeDriver!, NOISEWRIGHT_EMULATION_FAIL: failure })).toBe('true')
  })
})
