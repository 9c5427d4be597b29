import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { runAddon } from '../support/addonProcess.ts'
import { canEmulate, fakeDriver } from '../support/emulatedGpu.ts'

const status = (environment: Readonly<Record<string, string>>): string =>
  runAddon('console.log(addon.cudaStatus())', { NOISEWRIGHT_LIBCUDA: fakeDriver ?? '', ...environment })

const addOnGpu = `
  const bytes = new Uint8Array(new Float32Array([1, 2, 3, 4]).buffer)
  const sum = async () => {
    const x = addon.fromBytes('cuda', bytes, [4], 'float32')
    try { return String(new Float32Array(await addon.read(addon.addForward(x, x, 0)))) } catch (error) { return error.message }
  }
`

describe('the CUDA driver', () => {
  it('is reported missing where there is none', () => {
    expect(status({ NOISEWRIGHT_LIBCUDA: join('/nowhere', 'libcuda.so.1') })).toBe(
      'no CUDA device: the NVIDIA driver library (/nowhere/libcuda.so.1) is not installed',
    )
  })
  it('gives its reason to whoever asks for a tensor there', () => {
    const script = `
      try { addon.fromBytes('cuda', new Uint8Array(4), [1], 'float32') } catch (error) { console.log(error.message) }`
    expect(runAddon(script, { NOISEWRIGHT_LIBCUDA: '/nowhere/libcuda.so.1' })).toMatch(
      /^no CUDA device: .*not installed$/,
    )
  })
  it('leaves the CPU to whoever has none', () => {
    const script = `
      const x = addon.fromBytes('cpu', new Uint8Array(new Float32Array([1, 2]).buffer), [2], 'float32')
      console.log(addon.cudaStatus() !== '', String(new Float32Array(await addon.read(addon.addForward(x, x, 0)))))`
    expect(runAddon(script, { NOISEWRIGHT_LIBCUDA: '/nowhere/libcuda.so.1' })).toBe('true 2,4')
  })
  it('is reported too old when it lacks a function', () => {
    expect(status({ NOISEWRIGHT_LIBCUDA: 'libm.so.6' })).toBe(
      'no CUDA device: the installed NVIDIA driver is too old (it lacks cuInit)',
    )
  })
  it('is not opened when the addon is loaded', () => {
    const script = `
      const maps = require('node:fs').readFileSync('/proc/self/maps', 'utf8')
      console.log(maps.includes('libfakecuda'), addon.cudaStatus() === '')`
    if (canEmulate) expect(runAddon(script, { NOISEWRIGHT_LIBCUDA: fakeDriver ?? '' })).toBe('false true')
  })
})

describe.runIf(canEmulate)('a CUDA driver that answers', () => {
  it('is used', () => {
    expect(status({})).toBe('')
    expect(runAddon(`${addOnGpu} console.log(await sum())`, { NOISEWRIGHT_LIBCUDA: fakeDriver! })).toBe('2,4,6,8')
  })
  it('is reported with its own words when it does not start', () => {
    expect(status({ NOISEWRIGHT_EMULATION_FAIL: 'cuInit=999' })).toBe(
      'no CUDA device: cuInit says CUDA_ERROR_UNKNOWN (emulated)',
    )
  })
  it('is reported when it has no GPU', () => {
    expect(status({ NOISEWRIGHT_EMULATION_DEVICE: '0,80,13000' })).toBe(
      'no CUDA device: the NVIDIA driver reports none (is CUDA_VISIBLE_DEVICES set?)',
    )
  })
  it('is reported when its GPU is older than the kernels', () => {
    expect(status({ NOISEWRIGHT_EMULATION_DEVICE: '1,75,99000' })).toBe(
      'no CUDA device: CUDA emulated on the CPU has compute capability 7.5, kernels need 8.0 or newer (Ampere)',
    )
  })
  it.each([
    [
      'cuDevicePrimaryCtxRetain=2',
      'fromBytes: starting the GPU: the CUDA driver says CUDA_ERROR_OUT_OF_MEMORY (emulated)',
    ],
    ['cuStreamCreate=999', 'fromBytes: starting the GPU: the CUDA driver says CUDA_ERROR_UNKNOWN (emulated)'],
    [
      'cuMemAlloc_v2=2',
      'fromBytes: out of memory: needed 64 bytes with 0 in use; the GPU has 17179869184 of its 17179869184 bytes free',
    ],
    ['cuMemAlloc_v2=999', 'fromBytes: allocating 64 bytes: the CUDA driver says CUDA_ERROR_UNKNOWN (emulated)'],
    ['cuMemcpyDtoHAsync_v2=1', 'read: download: the CUDA driver says CUDA_ERROR_INVALID_VALUE (emulated)'],
    [
      'cuModuleLoadData=209',
      // Of whichever come first in this build, or of the emulation where it has none.
      expect.stringMatching(/^add: loading the kernels of [\w ]+: the CUDA driver says error 209 \(emulated\)$/),
    ],
    ['cuMemcpyHtoDAsync_v2=1', 'fromBytes: upload: the CUDA driver says CUDA_ERROR_INVALID_VALUE (emulated)'],
    [
      'cuLaunchKernel=1',
      'add: kernel add_flat_f32_f32_kernel: the CUDA driver says CUDA_ERROR_INVALID_VALUE (emulated)',
    ],
    [
      'cuEventSynchronize=700',
      'fromBytes: upload, or a kernel before it (NOISEWRIGHT_CUDA_WAIT=1 tells which): ' +
        'the CUDA driver says CUDA_ERROR_ILLEGAL_ADDRESS (emulated); ' +
        'the GPU cannot be used again in this process: save what is on the CPU and restart',
    ],
  ])('spoils what depends on it when %s, and the process lives on', (failure, message) => {
    const environment = { NOISEWRIGHT_LIBCUDA: fakeDriver!, NOISEWRIGHT_EMULATION_FAIL: failure }
    expect(runAddon(`${addOnGpu} console.log(await sum())`, environment)).toEqual(message)
  })
  it('goes on after a failure', () => {
    const script = `${addOnGpu}
      const first = await sum()
      process.env.NOISEWRIGHT_EMULATION_FAIL = ''
      console.log(first, '/', await sum())`
    const environment = { NOISEWRIGHT_LIBCUDA: fakeDriver!, NOISEWRIGHT_EMULATION_FAIL: 'cuLaunchKernel=999' }
    expect(runAddon(script, environment)).toBe(
      'add: kernel add_flat_f32_f32_kernel: the CUDA driver says CUDA_ERROR_UNKNOWN (emulated) / 2,4,6,8',
    )
  })
  it('gives freed memory back to the driver', () => {
    const script = `
      const make = (count) => addon.fromBytes('cuda', new Uint8Array(count * 4), [count], 'float32')
      const x = make(1 << 18)
      await addon.read(x)
      const used = addon.memory('cuda')[1]
      addon.dispose(x)
      await addon.read(make(16)) // what held x has been let go by the time this has run
      const cached = addon.memory('cuda')[3]
      addon.releaseCached('cuda')
      const [buffers, live, , rest] = addon.memory('cuda')
      console.log(used, cached, buffers, live, rest)`
    expect(runAddon(script, { NOISEWRIGHT_LIBCUDA: fakeDriver! })).toBe('1048576 1048576 1 64 0')
  })
})
