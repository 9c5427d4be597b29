import { describe, expect, it } from 'vitest'
import { accumulate, copyInto } from '../../lib/ops/accumulate.ts'
import { add } from '../../lib/ops/add.ts'
import { gradientNorm } from '../../lib/ops/gradientNorm.ts'
import { full, tensor, zeros } from '../../lib/tensor/create.ts'
import { listGpus, openDevice } from '../../lib/tensor/device.ts'
import { cudaUnavailable, memory } from '../../lib/tensor/runtime.ts'
import type { DeviceName, Tensor } from '../../lib/tensor/tensor.ts'
import { ArgumentError, NativeError } from '../../lib/util/errors.ts'
import { runAddon } from '../support/addonProcess.ts'
import { canEmulate, fakeDriver, setEmulation } from '../support/emulatedGpu.ts'

const gpus = ['cuda', 'cuda:1'] as const
const devices = ['cpu', ...gpus] as const

function thrownBy(body: () => unknown): unknown {
  try {
    body()
  } catch (error) {
    return error
  }
  return undefined
}

async function values(x: Tensor): Promise<number[]> {
  const list: number[] = []
  for (const value of await x.read()) list.push(Number(value))
  return list
}

/** Buffers of each device, once everything enqueued has run. */
async function buffers(): Promise<number[]> {
  for (const device of devices) {
    const last = tensor([0], [1], { device })
    await last.read()
    last.dispose()
  }
  return devices.map((device) => memory(device).liveBuffers)
}

describe('the list of GPUs', () => {
  it('says what is missing where there is no driver', () => {
    const script = 'console.log(JSON.stringify(await addon.listGpus()))'
    expect(JSON.parse(runAddon(script, { NOISEWRIGHT_LIBCUDA: '/nowhere/libcuda.so.1' }))).toEqual([
      0,
      'the NVIDIA driver library (/nowhere/libcuda.so.1) is not installed',
      [],
      '',
    ])
  })
  it.runIf(canEmulate)('follows the driver', () => {
    const script = 'console.log((await addon.listGpus())[2].length)'
    const count = (devices: string): string =>
      runAddon(script, { NOISEWRIGHT_LIBCUDA: fakeDriver!, NOISEWRIGHT_EMULATION_DEVICE: `${devices},80,13000` })
    expect(['0', '1', '8'].map(count)).toEqual(['0', '1', '8'])
  })
})

describe('a device that is opened', () => {
  it('says what is missing where it cannot be', async () => {
    const script = "console.log(await addon.openDevice('cuda'), '/', await addon.openDevice('cpu'))"
    expect(runAddon(script, { NOISEWRIGHT_LIBCUDA: '/nowhere/libcuda.so.1' })).toBe(
      'no CUDA device: the NVIDIA driver library (/nowhere/libcuda.so.1) is not installed /',
    )
    await expect(openDevice('cpu')).resolves.toBeUndefined()
    await expect(openDevice('gpu' as DeviceName)).rejects.toBeInstanceOf(ArgumentError)
  })
  it.runIf(canEmulate)("starts away from JavaScript's thread", () => {
    const script = `
      let ticks = 0
      const timer = setInterval(() => ticks++, 1)
      const reason = await addon.openDevice('cuda')
      clearInterval(timer)
      const from = performance.now()
      addon.fromBytes('cuda', new Uint8Array(4), [1], 'float32')
      console.log(JSON.stringify(reason), ticks > 5, performance.now() - from < 2000)`
    const environment = { NOISEWRIGHT_LIBCUDA: fakeDriver!, NOISEWRIGHT_EMULATION_START: '2000' }
    expect(runAddon(script, environment)).toBe('"" true true')
  })
})

describe.runIf(canEmulate)('several GPUs', () => {
  const gigabyte = 2 ** 30
  setEmulation('DEVICE', `3,80/90/75,13000,${gigabyte}`)

  it('are listed with what each of them is', async () => {
    const { gpus, unavailable, driverCuda } = await listGpus()
    expect([driverCuda, unavailable]).toEqual(['13.0', null])
    expect(gpus.map(({ device, computeCapability }) => [device, computeCapability])).toEqual([
      ['cuda', '8.0'],
      ['cuda:1', '9.0'],
      ['cuda:2', '7.5'],
    ])
    expect(gpus.map(({ totalBytes }) => totalBytes)).toEqual([gigabyte, gigabyte, gigabyte])
    const x = zeros([2 ** 20], { device: 'cuda' })
    await x.read()
    const [later] = (await listGpus()).gpus
    expect(gpus[0]!.freeBytes! - later!.freeBytes!).toBeGreaterThanOrEqual(2 ** 22)
    x.dispose()
    expect(gpus.map(({ unavailable }) => unavailable)).toEqual([
      null,
      null,
      expect.stringContaining('has compute capability 7.5'),
    ])
    expect(gpus[2]!.freeBytes).toBeNull()
  })
  it('compute each for itself', async () => {
    for (const device of gpus) {
      const before = gpus.map((name) => memory(name).opsRun)
      const x = tensor([1, 2, 3], [3], { device })
      const y = add(x, x)
      expect([y.device, await values(y)]).toEqual([device, [2, 4, 6]])
      const after = gpus.map((name) => memory(name).opsRun)
      expect(after.map((count, i) => count > before[i]!)).toEqual(gpus.map((name) => name === device))
      for (const t of [x, y]) t.dispose()
    }
  })
  it('keep their memory apart', () => {
    const held = gpus.map((name) => memory(name).liveBuffers)
    const x = zeros([4], { device: 'cuda:1' })
    expect(gpus.map((name, i) => memory(name).liveBuffers - held[i]!)).toEqual([0, 1])
    x.dispose()
  })
  it('have one name each: cuda:0 is cuda', async () => {
    const [a, b] = [full([2], 1, { device: 'cuda:0' }), full([2], 2, { device: 'cuda' })]
    expect([a.device, b.device]).toEqual(['cuda', 'cuda'])
    const sum = add(a, b)
    expect(await values(sum)).toEqual([3, 3])
    expect(memory('cuda:0').opsRun).toBe(memory('cuda').opsRun)
    for (const t of [a, b, sum]) t.dispose()
  })
  it.each(['gpu', 'cuda:', 'cuda:01', 'cuda:x', 'cuda:-1', 'CUDA', 'cpu:0'])('are not called %s', (name) => {
    for (const call of [() => zeros([1], { device: name as DeviceName }), () => memory(name as DeviceName)])
      expect(thrownBy(call)).toMatchObject({ name: 'ArgumentError', argument: 'device', received: name })
  })
  it('say why one of them cannot be used', () => {
    expect(cudaUnavailable('cuda:1')).toBeNull()
    expect(cudaUnavailable('cuda:2')).toBe(
      'no CUDA device 2: CUDA emulated on the CPU has compute capability 7.5, kernels need 8.0 or newer (Ampere)',
    )
    expect(thrownBy(() => zeros([1], { device: 'cuda:3' }))).toEqual(
      new NativeError(
        'full: device cuda:3 cannot be used: no CUDA device 3: the NVIDIA driver reports 3 (is CUDA_VISIBLE_DEVICES set?)',
      ),
    )
  })

  it('do not meet in one op', () => {
    const [a, b] = [zeros([2], { device: 'cuda' }), zeros([2], { device: 'cuda:1' })]
    expect(thrownBy(() => add(a, b))).toEqual(
      new ArgumentError(
        'add',
        'b',
        'on device cuda like a',
        "a tensor on cuda:1; copyInto(zeros(shape, { device: 'cuda' }), b) copies it there",
      ),
    )
    expect(thrownBy(() => accumulate(b, a))).toMatchObject({
      name: 'ArgumentError',
      message: expect.stringMatching(/^accumulate: x must be on device cuda:1 like y, received a tensor on cuda; /),
    })
    expect(thrownBy(() => gradientNorm([a, b]))).toMatchObject({
      name: 'ArgumentError',
      expected: 'on device cuda like gradients[0]',
    })
    for (const t of [a, b]) t.dispose()
  })
})

describe.runIf(canEmulate)('a copy between devices', () => {
  const pairs = devices.flatMap((from) => devices.filter((to) => to !== from).map((to) => [from, to] as const))

  it.each(pairs)('brings the elements from %s to %s', async (from, to) => {
    const before = await buffers()
    const numbers = Float32Array.from({ length: 1 << 19 }, (_, i) => Math.fround(i / 7))
    const x = tensor(numbers, [numbers.length], { device: from })
    const y = zeros([numbers.length], { device: to })
    copyInto(y, x)
    expect(Buffer.from((await y.read()).buffer).equals(Buffer.from(numbers.buffer))).toBe(true)
    for (const t of [x, y]) t.dispose()
    expect(await buffers()).toEqual(before)
  })
  it('converts float types on the way, and takes other types as they are', async () => {
    const x = tensor([1, 1.0009765625, -3], [3], { device: 'cuda:1' })
    const half = zeros([3], { device: 'cuda', dtype: 'bfloat16' })
    copyInto(half, x)
    expect(await values(half)).toEqual([0x3f80, 0x3f80, 0xc040])
    const ids = tensor(Int32Array.of(1, -2), [2], { device: 'cuda' })
    const there = zeros([2], { device: 'cuda:1', dtype: 'int32' })
    copyInto(there, ids)
    expect(await values(there)).toEqual([1, -2])
    for (const t of [x, half, ids, there]) t.dispose()
  })
  it('takes what the tensor holds in the order of the calls', async () => {
    const [a, b] = gpus.map((device) => full([1000], 1, { device })) as [Tensor, Tensor]
    for (let i = 0; i < 20; i++) {
      copyInto(b, a)
      accumulate(b, b)
      copyInto(a, b)
    }
    expect((await values(a)).every((x) => x === 2 ** 20)).toBe(true)
    for (const t of [a, b]) t.dispose()
  })
  it('tells of a source that failed, and leaves the target as it was', async () => {
    const before = await buffers()
    const [x, y] = [full([4], 1, { device: 'cuda' }), full([4], 5, { device: 'cuda:1' })]
    await Promise.all([x.read(), y.read()])
    setEmulation('FAIL', 'cuLaunchKernel=1')
    const sum = add(x, x)
    await expect(sum.read()).rejects.toThrow(/^add: kernel/)
    setEmulation('FAIL', '')
    copyInto(y, sum)
    await expect(y.read()).rejects.toMatchObject({
      name: 'NativeError',
      op: 'copyInto',
      driverCode: 'CUDA_ERROR_INVALID_VALUE',
      message: expect.stringMatching(/^add: kernel/),
    })
    expect(await values(y)).toEqual([5, 5, 5, 5])
    for (const t of [x, y, sum]) t.dispose()
    expect(await buffers()).toEqual(before)
  })
})
