import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterEach, describe, expect, it } from 'vitest'
import { loadAddon } from '../../lib/native/find.ts'
import { cpuTarget, cpuTargets } from '../../lib/tensor/runtime.ts'
import { NativeError } from '../../lib/util/errors.ts'
import { packageRoot } from '../../lib/util/packageRoot.ts'
import { binaryPath } from '../support/device.ts'

function node(
  code: string,
  env: Readonly<Record<string, string>> = {},
): { status: number | null; out: string; err: string } {
  const options = { encoding: 'utf8', env: { ...process.env, ...env } } as const
  const { status, stdout, stderr } = spawnSync(process.execPath, ['-e', code], options)
  return { status, out: stdout.trim(), err: stderr }
}

/** The first of this process's cores, in the words of util-linux's taskset ("pid 7's current affinity list: 0-3"). */
const affinity = spawnSync('taskset', ['-cp', String(process.pid)], { encoding: 'utf8' })
const hasTaskset = affinity.status === 0
const firstCore = /: (\d+)/.exec(affinity.stdout ?? '')?.[1] ?? '0'

const load = `const addon = require(${JSON.stringify(binaryPath())});`
const folders: string[] = []
const binaryBefore = process.env.NOISEWRIGHT_BINARY
afterEach(() => {
  if (binaryBefore === undefined) delete process.env.NOISEWRIGHT_BINARY
  else process.env.NOISEWRIGHT_BINARY = binaryBefore
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true })
})

function loadFailure(path: string): Error {
  process.env.NOISEWRIGHT_BINARY = path
  try {
    loadAddon()
  } catch (error) {
    return error as Error
  }
  throw new Error('it loaded')
}

function temporaryFile(name: string, text: string): string {
  const folder = mkdtempSync(join(tmpdir(), 'noisewright-'))
  folders.push(folder)
  const path = join(folder, name)
  writeFileSync(path, text)
  return path
}

describe('loading', () => {
  it('chooses the best instruction set of the machine', () => {
    expect(cpuTargets()[0]).toBe('baseline')
    if (process.env.NOISEWRIGHT_CPU) return
    expect(node(`${load} console.log(addon.cpuTarget())`).out).toBe(cpuTargets().at(-1))
    expect(cpuTargets()).toContain(cpuTarget())
  })

  it.each(cpuTargets())('obeys NOISEWRIGHT_CPU=%s', (target) => {
    expect(node(`${load} console.log(addon.cpuTarget())`, { NOISEWRIGHT_CPU: target })).toMatchObject({
      status: 0,
      out: target,
    })
  })

  it('refuses an instruction set the machine does not have, and says which it has', () => {
    const { status, err } = node(load, { NOISEWRIGHT_CPU: 'avx9000' })
    expect(status).toBe(1)
    expect(err).toContain(`NOISEWRIGHT_CPU is "avx9000"; this machine can run ${cpuTargets().join(', ')}`)
  })

  it.runIf(hasTaskset)('computes on the cores that the process may use', () => {
    const script = `${load} console.log(addon.threadCount())`
    const { stdout } = spawnSync('taskset', ['-c', firstCore, process.execPath, '-e', script], { encoding: 'utf8' })
    expect(stdout.trim()).toBe('1')
  })

  it('passes on what a binary that loads refuses, without advice to build another', () => {
    const refuses = temporaryFile(
      'refuses.cjs',
      "throw Object.assign(new Error('NOISEWRIGHT_CPU is wrong'), { code: 'ERR_NATIVE' })",
    )
    const error = loadFailure(refuses)
    expect(error).toBeInstanceOf(NativeError)
    expect(error.message).toBe('NOISEWRIGHT_CPU is wrong')
  })

  it('says what was tried and what to do when NOISEWRIGHT_BINARY names no file', () => {
    const missing = join(tmpdir(), 'there-is-no-such-folder', 'noisewright.node')
    const error = loadFailure(missing)
    expect(error).toBeInstanceOf(NativeError)
    expect(error.message).toContain(`${process.platform}-${process.arch}. Tried:\n  ${missing}: `)
    expect(error.message).toContain('NOISEWRIGHT_BINARY')
    expect(error.message).toContain('npx noisewright-build')
  })

  it('says what was tried when the file is no binary', () => {
    const path = temporaryFile('noisewright.node', 'not a binary')
    expect(loadFailure(path).message).toContain(`  ${path}: `)
  })

  it('ends a process cleanly that leaves work behind', () => {
    const code = `${load} for (let i = 0; i < 100; i++) addon.randomNormal([1 << 20], 1n, 2n); console.log('left')`
    expect(node(code)).toMatchObject({ status: 0, out: 'left' })
    expect(node(`${load} addon.read(addon.randomNormal([1 << 20], 1n, 2n)); process.exit(0)`).status).toBe(0)
  })

  it('keeps the process alive until a read has resolved', () => {
    const code = `${load} addon.read(addon.fill([2], 'float32', 3)).then((b) => console.log(new Float32Array(b).join()))`
    expect(node(code)).toMatchObject({ status: 0, out: '3,3' })
  })
})

const built = join(packageRoot(), 'dist', 'index.js')
describe.runIf(existsSync(built))('importing the built package', () => {
  it('takes less than 150 ms', () => {
    const code = `const t = performance.now(); import(${JSON.stringify(pathToFileURL(built).href)}).then(() => console.log(performance.now() - t))`
    const times = Array.from({ length: 7 }, () => Number(node(code).out)).sort((a, b) => a - b)
    expect(times[0]).toBeGreaterThan(0)
    // The quickest: what other programs take away can only be added to it.
    expect(times[0], `of ${times.map((t) => t.toFixed(0)).join(', ')} ms`).toBeLessThan(150)
  })
})
