/** The benchmarks of ops on the look-alike driver. */
import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { packageRoot } from '../../lib/util/packageRoot.ts'
import { canEmulate } from '../support/emulatedGpu.ts'

describe.runIf(canEmulate)('npm run bench', () => {
  it('measures ops on the GPU, and says that it is emulated', { timeout: 300_000 }, () => {
    const args = [join(packageRoot(), 'scripts', 'bench.mjs'), 'ops', '--device', 'cuda', 'timestepEmbedding']
    const text = execFileSync(process.execPath, args, { encoding: 'utf8' })
    expect(text).toContain('CUDA emulated on the CPU')
    expect(text).toContain('This GPU is emulated on the CPU: its times say nothing about any GPU.')
    const row = text.split('\n').find((line) => line.startsWith('timestepEmbedding'))
    expect(Number(row?.trim().split(/\s+/).at(-1)), row).toBeLessThan(1e-5)
  })
})
