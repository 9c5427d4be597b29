import { afterEach, describe, expect, it } from 'vitest'
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
