/** Counters and settings of the devices. */
import { addon } from '../native/load.ts'
import { ArgumentError } from '../util/errors.ts'
import { didYouMean } from '../util/nearest.ts'
import { checkDevice } from './device.ts'
import type { DeviceName } from './tensor.ts'

export interface MemoryReport {
  /** Storages that exist, counting those whose memory has not been taken yet. */
  readonly liveBuffers: number
  readonly liveBytes: number
  /** Highest liveBytes since the last `resetPeak`. */
  readonly peakBytes: number
  /** Apart from the other numbers, states of paged optimizers: on the CPU in files, in memory or not; of a GPU in pinned host memory. */
  readonly pagedBytes: number
  /** Of CUDA graphs, which find their tensors there in every launch: neither live nor cached. */
  readonly reservedBytes: number
  /** Kept warm for reuse. */
  readonly cachedBytes: number
  /** Writes outside a buffer, found in guard mode. */
  readonly guardViolations: number
  readonly opsRun: number
  readonly opsWaiting: number
  /** Calls of a fused op that its slow reference composition served. */
  readonly fallbacks: number
}

/** @internal */
export const counters = { fallbacks: 0 }

/** What the device holds now. Call after an awaited read for numbers that include everything enqueued before. */
export function memory(device: DeviceName = 'cpu'): MemoryReport {
  checkDevice('memory', device)
  const [
    liveBuffers,
    liveBytes,
    peakBytes,
    cachedBytes,
    guardViolations,
    opsRun,
    opsWaiting,
    pagedBytes,
    reservedBytes,
  ] = addon.memory(device)
  return {
    liveBuffers,
    liveBytes,
    peakBytes,
    pagedBytes,
    reservedBytes,
    cachedBytes,
    guardViolations,
    opsRun,
    opsWaiting,
    fallbacks: counters.fallbacks,
  }
}

export function resetPeak(device: DeviceName = 'cpu'): void {
  checkDevice('resetPeak', device)
  addon.resetPeak(device)
}

/** Gives memory kept for reuse back to the system. */
export function releaseCached(device: DeviceName = 'cpu'): void {
  checkDevice('releaseCached', device)
  addon.releaseCached(device)
}

/** Bytes the device may hold, live and cached; ops beyond it fail with OutOfMemoryError. 0 = no limit. */
export function setMemoryLimit(bytes: number, device: DeviceName = 'cpu'): void {
  if (!(bytes >= 0)) throw new ArgumentError('setMemoryLimit', 'bytes', 'zero or more', String(bytes))
  checkDevice('setMemoryLimit', device)
  addon.setMemoryLimit(device, bytes)
}

/** Threads the CPU device computes with, 1 to 64; default one for each core the process may use. Results do not depend on it. */
export function setThreadCount(count: number): void {
  if (!Number.isInteger(count) || count < 1 || count > 64)
    throw new ArgumentError('setThreadCount', 'count', 'a whole number from 1 to 64', String(count))
  addon.setThreadCount(count)
}

export function threadCount(): number {
  return addon.threadCount()
}

/** Instruction sets this machine can run, least first. */
export function cpuTargets(): readonly string[] {
  return addon.cpuTargets()
}

export function cpuTarget(): string {
  return addon.cpuTarget()
}

/** Chooses the instruction set of the ops enqueued from now on. For tests and measurements; the best is chosen at load. */
export function setCpuTarget(name: string): void {
  if (!addon.setCpuTarget(name))
    throw new ArgumentError(
      'setCpuTarget',
      'name',
      `one of ${cpuTargets().join(', ')}`,
      `"${name}".${didYouMean(name, cpuTargets())}`,
    )
}

/** Why a GPU cannot be used, by default the first, or null when it can. Starts the driver if nothing has: await `openDevice` or `listGpus` first. */
export function cudaUnavailable(device: DeviceName = 'cuda'): string | null {
  return addon.cudaStatus(device) || null
}
