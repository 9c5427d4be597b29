import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { runAddon } from '../support/addonProcess.ts'
import { canEmulate, fakeDriver } from '../support/emulatedGpu.ts'

const script = `
  const x = addon.fromBytes('cuda', new Uint8Array(new Float32Array([1, 2]).buffer), [2], 'float32')
  console.log(String(new Float32Array(await addon.read(addon.addForward(x, x, 0)))))`

describe.runIf(canEmulate)('a profiler', () => {
  it('is told which op the GPU works for', () => {
    const folder = mkdtempSync(join(tmpdir(), 'noisewright-'))
    const ranges = join(folder, 'ranges')
    const environment = {
      NOISEWRIGHT_LIBCUDA: fakeDriver!,
      NVTX_INJECTION64_PATH: fakeDriver!,
      NOISEWRIGHT_EMULATION_RANGES: ranges,
    }
    expect(runAddon(script, environment)).toBe('2,4')
    expect(readFileSync(ranges, 'utf8').trim().split('\n')).toEqual(['+fromBytes', '-', '+add', '-', '+read', '-'])
    rmSync(folder, { recursive: true })
  })
  it('that cannot be opened changes nothing', () => {
    const environment = { NOISEWRIGHT_LIBCUDA: fakeDriver!, NVTX_INJECTION64_PATH: '/nowhere/libprofiler.so' }
    expect(runAddon(script, environment)).toBe('2,4')
  })
})
