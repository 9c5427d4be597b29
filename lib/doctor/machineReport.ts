/** What a report about this machine should hold. */
import { readFileSync } from 'node:fs'
import { availableParallelism, cpus, freemem, release, totalmem } from 'node:os'
import { join } from 'node:path'
import type { Addon } from '../native/addon.ts'
import { type LoadAttempt, loadAttempts } from '../native/find.ts'
import type { GpuList } from '../tensor/device.ts'
import { packageRoot } from '../util/packageRoot.ts'

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

/** What this build has for GPUs, and which there are. */
export interface CudaReport extends GpuList {
  /** The CUDA toolkit that compiled the kernels of this build, or null when it has none. */
  readonly toolkit: string | null
  /** What they are compiled for: `80`, `86`. */
  readonly architectures: readonly string[]
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
    cuda: addon && (await cudaReport(addon)),
  }
}

async function cudaReport(addon: Addon): Promise<CudaReport> {
  const { cudaVersion, listGpus } = await import('../tensor/device.ts')
  return {
    toolkit: cudaVersion(addon.toolkitVersion()),
    architectures: addon.cudaArchitectures(),
    ...(await listGpus()),
  }
}
