/** Names of devices, and what GPUs there are. */
import { addon } from '../native/load.ts'
import { ArgumentError, NativeError } from '../util/errors.ts'
import type { DeviceName, Tensor } from './tensor.ts'

/** @internal Throws for a name that is none (ArgumentError) and for a device that cannot be used (NativeError). */
export function checkDevice(op: string, device: DeviceName): void {
  if (device === 'cpu') return
  expectDeviceName(op, device)
  expectUsable(op, device, addon.cudaStatus(device))
}

function expectDeviceName(op: string, device: DeviceName): void {
  if (!/^cuda(:(0|[1-9]\d{0,3}))?$/.test(device))
    throw new ArgumentError(op, 'device', 'cpu, cuda or cuda:<number>', String(device))
}

function expectUsable(op: string, device: DeviceName, missing: string): void {
  if (missing) throw new NativeError(`${op}: device ${device} cannot be used: ${missing}`)
}

/** @internal Throws an ArgumentError when `x` is not on the device of `first`. */
export function expectSameDevice(op: string, firstName: string, first: Tensor, name: string, x: Tensor): void {
  if (x.device === first.device) return
  throw new ArgumentError(
    op,
    name,
    `on device ${first.device} like ${firstName}`,
    `a tensor on ${x.device}; copyInto(zeros(shape, { device: '${first.device}' }), ${name}) copies it there`,
  )
}

/**
 * Opens a device, away from JavaScript's thread: starting the driver of GPUs can take a second. Whoever computes on a GPU awaits this
 * first; the first tensor or question about a GPU that has not been opened starts the driver where it stands and stops the program for
 * as long. More calls cost nothing.
 * @throws NativeError with the reason when the device cannot be used, ArgumentError for a name that is none
 */
export async function openDevice(device: DeviceName): Promise<void> {
  expectUsable('openDevice', device, await openingFault(device))
}

/** @internal Opens a device like `openDevice`: why it cannot be used, or an empty string. */
export async function openingFault(device: DeviceName): Promise<string> {
  if (device === 'cpu') return ''
  expectDeviceName('openDevice', device)
  return addon.openDevice(device)
}

/** A GPU that the NVIDIA driver shows. */
export interface GpuReport {
  /** What `device` options call it. */
  readonly device: DeviceName
  readonly name: string
  /** Major and minor number, as in 8.6. Kernels need 8.0 or newer. */
  readonly computeCapability: string
  /** Multiprocessors and their clock; null where the driver does not say. */
  readonly multiprocessors: number | null
  readonly clockMHz: number | null
  readonly totalBytes: number
  /** Free now, for all programs together; null where the GPU cannot be used. */
  readonly freeBytes: number | null
  /** Why it cannot be used, or null. */
  readonly unavailable: string | null
}

export interface GpuList {
  /** The newest CUDA that the installed driver serves, as in 13.0; null without a driver. */
  readonly driverCuda: string | null
  /** Why no GPU can be used by this build, or null. */
  readonly unavailable: string | null
  /** Why the driver repeats no steps as CUDA graphs, or null: trainings call every op then, with the same results. */
  readonly withoutGraphs: string | null
  /** In the order of their numbers: cuda, cuda:1 and so on. `CUDA_VISIBLE_DEVICES` chooses which the driver shows. */
  readonly gpus: readonly GpuReport[]
}

/** The GPUs of this machine. Never rejects for want of a driver, which is started on another thread, as by `openDevice`. */
export async function listGpus(): Promise<GpuList> {
  const [version, unavailable, gpus, withoutGraphs] = await addon.listGpus()
  return {
    driverCuda: cudaVersion(version),
    unavailable: unavailable || null,
    withoutGraphs: withoutGraphs || null,
    gpus: gpus.map(([name, computeCapability, processors, kiloHertz, totalBytes, freeBytes, reason], number) => ({
      device: number === 0 ? 'cuda' : `cuda:${number}`,
      name,
      computeCapability,
      multiprocessors: processors || null,
      clockMHz: kiloHertz / 1e3 || null,
      totalBytes,
      freeBytes: freeBytes < 0 ? null : freeBytes,
      unavailable: reason || null,
    })),
  }
}

/** @internal `13.0` for 13000, null for 0: versions of CUDA as the driver counts them. */
export function cudaVersion(version: number): string | null {
  return version === 0 ? null : `${Math.floor(version / 1000)}.${Math.floor((version % 1000) / 10)}`
}
