/** The doctor on the look-alike driver. */
import { afterEach, describe, expect, it } from 'vitest'
import { describeMachine } from '../../lib/cli/doctor.ts'
import { run } from '../../lib/cli/run.ts'
import type { KernelResult } from '../../lib/doctor/checkKernels.ts'
import type { KernelReport } from '../../lib/doctor/kernelReport.ts'
import { type MachineReport, machineReport } from '../../lib/doctor/machineReport.ts'
import { exitCodes } from '../../lib/util/errors.ts'
import { binary, canEmulate, setEmulation } from '../support/emulatedGpu.ts'
import { makeTestHost } from './testHost.ts'

async function doctor(...args: readonly string[]) {
  const host = makeTestHost()
  const code = await run(['doctor', ...args], host)
  return { code, text: host.stdout.text, errors: host.stderr.text }
}

interface Report extends MachineReport {
  readonly kernels: KernelReport | null
}

describe.runIf(canEmulate)('noisewright doctor', () => {
  afterEach(() => setEmulation('REPLACE', ''))

  it('says what the machine, the binary and the driver are', async () => {
    const { code, text } = await doctor()
    expect(code).toBe(exitCodes.ok)
    expect(text).toMatch(/^noisewright \d.*, Node v/)
    expect(text).toContain(`tried ${binary}: loaded`)
    expect(text).toMatch(/instruction set: \w+, of baseline/)
    expect(text).toContain('CUDA driver: serves CUDA 99.0')
    expect(text).toContain('cuda: CUDA emulated on the CPU, compute capability 8.0')
  })

  it('says the same as JSON', async () => {
    const { text } = await doctor('--json')
    const report = JSON.parse(text) as Report
    expect(report).toMatchObject({
      node: process.version,
      binary: { loaded: binary, tried: [{ path: binary, error: null }], problem: null },
      cuda: {
        unavailable: null,
        driverCuda: '99.0',
        withoutGraphs: null,
        gpus: [{ name: 'CUDA emulated on the CPU', computeCapability: '8.0', multiprocessors: null, clockMHz: null }],
      },
      kernels: null,
    })
    expect(report.cpu.instructionSets).toContain(report.cpu.instructionSet)
    expect(report.memory.totalBytes).toBeGreaterThan(report.memory.freeBytes)
  })

  it('says what was tried and what to do when no binary loads', async () => {
    const machine = await machineReport()
    const lines = describeMachine({
      ...machine,
      binary: { loaded: null, tried: [{ path: 'a.node', error: 'wrong ELF class' }], problem: 'Build it with\nb' },
      cuda: null,
    })
    expect(lines).toEqual(expect.arrayContaining(['binary: none loads', '  tried a.node: wrong ELF class', '  b']))
  })

  it('finds every kernel right', { timeout: 600_000 }, async () => {
    const { text } = await doctor('--kernels', '--size', 'small', '--json')
    const { kernels } = JSON.parse(text) as Report
    expect(kernels!.results.filter(({ passed }) => !passed)).toEqual([])
    expect(kernels).toMatchObject({ device: 'cuda', size: 'small' })
    expect(kernels!.peaks.gbs).toBeGreaterThan(0)
    const ops = new Set(kernels!.results.map(({ op, pass }) => `${op.split(/[ ,]/)[0]} ${pass}`))
    for (const op of ['matmul', 'linear', 'conv2d', 'attention', 'groupNorm', 'layerNorm', 'geglu', 'embedding'])
      for (const pass of ['forward', 'backward']) expect(ops).toContain(`${op} ${pass}`)
    for (const op of ['resizeImage', 'randomNormal', 'optimizerStep', 'gradientNorm'])
      expect(ops).toContain(`${op} forward`)
  })

  it('reports a kernel that computes something else', async () => {
    setEmulation('REPLACE', 'activation_forward_f32_kernel=activation_forward_f16_kernel')
    const { code, text } = await doctor('--kernels', 'silu', '--size', 'small')
    expect(code).toBe(exitCodes.native)
    const [first] = text.split('\n').filter((line) => line.startsWith('silu'))
    expect(first).toMatch(/^silu +forward +float32 .* FAIL /)
    expect(text).toContain('1 of 6 results disagree')
  })

  it('reports a kernel that fails', async () => {
    setEmulation('REPLACE', 'activation_forward_bf16_kernel=no_such_kernel')
    const { code, text } = await doctor('--kernels', 'silu', '--size', 'small', '--json')
    expect(code).toBe(exitCodes.native)
    const failed = (JSON.parse(text) as Report).kernels!.results.filter(({ failure }) => failure !== null)
    expect(failed.map(({ pass, dtype }: KernelResult) => `${pass} ${dtype}`)).toEqual([
      'forward bfloat16',
      'backward bfloat16',
    ])
    expect(failed[0]!.failure).toContain('activation_forward_bf16_kernel')
  })

  it('checks the CPU against its plainest instruction set', async () => {
    const { code, text } = await doctor('--kernels', 'geglu', 'conv2d', '--size', 'small', '--device', 'cpu')
    expect(text).toContain('against float32 on the instruction set baseline')
    expect(text).toMatch(/all \d+ results agree/)
    expect(code).toBe(exitCodes.ok)
  })

  it('refuses an op without kernels, and options it does not know', async () => {
    const { code, errors } = await doctor('--kernels', 'conv2', '--size', 'small')
    expect(code).toBe(exitCodes.usage)
    expect(errors).toContain('Did you mean "conv2d"?')
    expect((await doctor('--kernel')).code).toBe(exitCodes.usage)
    expect((await doctor('--size', 'tiny')).code).toBe(exitCodes.usage)
  })
})
