import { listGpus } from '../tensor/device.ts'
import type { FloatDType } from '../tensor/dtype.ts'
import type { DeviceName } from '../tensor/tensor.ts'
import { gpuMatrixPeak, measureArithmetic, measureBandwidth } from './peaks.ts'

/** What a device can do at most, in GFLOP/s of matrix products and GB/s; null where unknown. */
export interface DevicePeaks {
  readonly gflops: Readonly<Record<FloatDType, number | null>>
  readonly gbs: number
}

/**
 * Bandwidth as measured; arithmetic as measured on the CPU, where it is that of float32, and as computed for a GPU.
 * @param options `brief`: in a tenth of the time and on small tensors, for slow devices
 */
export async function devicePeaks(
  device: DeviceName,
  { brief = false }: { readonly brief?: boolean } = {},
): Promise<DevicePeaks> {
  const gbs = await measureBandwidth(device, brief ? { budgetMs: 100, elements: 1 << 14 } : {})
  if (device === 'cpu') {
    const gflops = await measureArithmetic(brief ? 100 : 1000)
    return { gbs, gflops: { float32: gflops, bfloat16: gflops, float16: gflops } }
  }
  const gpu = (await listGpus()).gpus.find((each) => each.device === device)
  const peak = (dtype: FloatDType): number | null => (gpu ? gpuMatrixPeak(gpu, dtype) : null)
  return { gbs, gflops: { float32: peak('float32'), bfloat16: peak('bfloat16'), float16: peak('float16') } }
}
