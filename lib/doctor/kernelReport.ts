/** All kernels of a device against the CPU: what `noisewright doctor --kernels` shows. */
import { openingFault } from '../tensor/device.ts'
import type { DeviceName } from '../tensor/tensor.ts'
import { ArgumentError, NativeError } from '../util/errors.ts'
import { didYouMean } from '../util/nearest.ts'
import { checkKernels, type KernelResult } from './checkKernels.ts'
import { type DevicePeaks, devicePeaks } from './devicePeaks.ts'
import { elementCases } from './elementCases.ts'
import type { CaseSize, KernelCase } from './kernelCase.ts'
import { optimizerCases } from './optimizerCases.ts'
import { pictureCases } from './pictureCases.ts'
import { productCases } from './productCases.ts'
import { tensorwiseCases } from './tensorwiseCases.ts'

export interface KernelReportOptions {
  /** Default `cuda`. */
  readonly device?: DeviceName
  /** Default `full`. */
  readonly size?: CaseSize
  /** Names of ops; default all of them. */
  readonly ops?: readonly string[]
  readonly onResult?: (result: KernelResult) => void
}

export interface KernelReport {
  readonly device: DeviceName
  readonly size: CaseSize
  readonly peaks: DevicePeaks
  readonly results: readonly KernelResult[]
}

/** All cases of a size. */
export function kernelCases(size: CaseSize): readonly KernelCase[] {
  return [
    ...productCases[size],
    ...elementCases(size),
    ...pictureCases(size),
    ...optimizerCases(size),
    ...tensorwiseCases(size),
  ]
}

/** The op of a case, without what distinguishes it from others of the op. */
export const opOf = ({ op }: KernelCase): string => op.split(/[ ,]/)[0]!

/**
 * Runs every kernel of a device, compares and times it.
 * @throws ArgumentError for an op without cases, NativeError where the device cannot be used
 */
export async function kernelReport({
  device = 'cuda',
  size = 'full',
  ops = [],
  onResult,
}: KernelReportOptions = {}): Promise<KernelReport> {
  const all = kernelCases(size)
  const known = [...new Set(all.map(opOf))]
  for (const op of ops)
    if (!known.includes(op))
      throw new ArgumentError('doctor', 'op', `one of ${known.join(', ')}`, `"${op}".${didYouMean(op, known)}`)
  const missing = await openingFault(device)
  if (missing) throw new NativeError(`doctor: kernels cannot run on ${device}: ${missing}`)
  const peaks = await devicePeaks(device, { brief: size === 'small' })
  const cases = all.filter((kernelCase) => ops.length === 0 || ops.includes(opOf(kernelCase)))
  const results = await checkKernels({ device, cases, peaks, ...(onResult && { onResult }) })
  return { device, size, peaks, results }
}
