/** What a report about this machine should hold. */
import { readFileSync } from 'node:fs'
import { availableParallelism, cpus, freemem, release, totalmem } from 'node:os'
import { join } from 'node:path'
import type { Addon } from '../native/addon.ts'
import { type LoadAttempt, loadAttempts } from '../native/find.ts'
import { packageRoot } from '../util/packageRoot.ts'
import type { GpuNumbers } from './peaks.ts'

export interface GpuDescription extends GpuNumbers {
  readonly name: string
}

export interface MachineReport {
  readonly noisewright: string
  readonly node: string
  /** System, its release and the processor's architecture: `linux 6.1.0 x64`. */
  readonly system: string
  readonly cpu: {
    readonly model: string
    /** Cores this process may use. */
    readonly cores: number
    /** What the addon knows, least first, and what it computes with; null without an addon. */
    readonly instructionSets: readonly string[] | null
    readonly instructionSet: string | null
    readonly threads: number | null
  }
  readonly memory: { readonly totalBytes: number; readonly freeBytes: number }
  readonly binary: {
    readonly loaded: string | null
    readonly tried: readonly LoadAttempt[]
    /** What to do, when none loads. */
    readonly problem: string | null
  }
  readonly cuda: CudaReport | null
}

export interface CudaReport {
  /** The CUDA toolkit that compiled the kernels of this build, or null when it has none. */
  readonly toolkit: string | null
  /** What they are compiled for: `80`, `86`. */
  readonly architectures: readonly string[]
  /** Why no GPU can be used, in a sentence, or null. */
  readonly unavailable: string | null
  /** The newest CUDA that the driver serves. */
  readonly driver: string | null
  readonly devices: readonly GpuDescription[]
}

/** Looks at the machine, the addon and the driver. Never throws for want of one of them. */
export async function machineReport(): Promise<MachineReport> {
  const { version } = JSON.parse(readFileSync(join(packageRoot(), 'package.json'), 'utf8')) as { version: string }
  let addon: Addon | null = null
  let problem: string | null = null
  try {
    addon = (await import('../native/load.ts')).addon
  } catch (error) {
    problem = (error as Error).message
  }
  return {
    noisewright: version,
    node: process.version,
    system: `${process.platform} ${release()} ${process.arch}`,
    cpu: {
      model: cpus()[0]?.model.trim() ?? 'unknown',
      cores: availableParallelism(),
      instructionSets: addon?.cpuTargets() ?? null,
      instructionSet: addon?.cpuTarget() ?? null,
      threads: addon?.threadCount() ?? null,
    },
    memory: { totalBytes: totalmem(), freeBytes: freemem() },
    binary: { loaded: loadAttempts.find(({ error }) => error === null)?.path ?? null, tried: loadAttempts, problem },
    cuda: addon && cudaReport(addon),
  }
}

/** What the addon says about GPUs and kernels for them. */
export function cudaReport(addon: Addon): CudaReport {
  const [driver = 0, ...numbers] = addon.gpuNumbers()
  const known = (value: number): number | null => (value > 0 ? value : null)
  return {
    toolkit: cudaVersion(addon.toolkitVersion()),
    architectures: addon.cudaArchitectures(),
    unavailable: addon.cudaStatus() || null,
    driver: cudaVersion(driver),
    devices: addon.gpuNames().map((name, i) => {
      const [multiprocessors, kiloHertz, architecture] = numbers.slice(3 * i) as [number, number, number]
      return { name, multiprocessors: known(multiprocessors), clockMHz: known(kiloHertz / 1e3), architecture }
    }),
  }
}

/** `13.0` for 13000. */
function cudaVersion(number: number): string | null {
  return number === 0 ? null : `${Math.floor(number / 1000)}.${Math.floor((number % 1000) / 10)}`
}
