/** What a device can do at most: measured, or computed where it cannot be. */

import { addon } from '../native/load.ts'
import { add } from '../ops/add.ts'
import { randomNormal } from '../tensor/create.ts'
import type { GpuReport } from '../tensor/device.ts'
import type { FloatDType } from '../tensor/dtype.ts'
import { settle } from '../tensor/settle.ts'
import { type DeviceName, wrap } from '../tensor/tensor.ts'

const chains = 12 // kPeakProbeChains

async function bestMs(run: () => { dispose(): void }, budgetMs: number, device: DeviceName): Promise<number> {
  let best = Number.POSITIVE_INFINITY
  const started = performance.now()
  for (let i = 0; i < 3 || performance.now() - started < budgetMs; i++) {
    const before = performance.now()
    const result = run()
    await settle(device)
    best = Math.min(best, performance.now() - before)
    result.dispose()
  }
  return best
}

/** GFLOP/s of the CPU in float32: multiply and add counted apart, all threads, data in registers. */
export async function measureArithmetic(budgetMs = 1000): Promise<number> {
  const tasks = 64
  const vectors = 10_000
  const probe = wrap(addon.peakProbe(tasks, vectors))
  const [lanes] = (await probe.read()) as Float32Array
  probe.dispose()
  const flops = 2 * lanes! * chains * vectors * tasks
  return flops / (await bestMs(() => wrap(addon.peakProbe(tasks, vectors)), budgetMs, 'cpu')) / 1e6
}

/**
 * GB/s that `a + b` reads and writes.
 * @param elements of each tensor; default 2^24, 64 MiB, beyond the caches of most devices
 */
export async function measureBandwidth(
  device: DeviceName = 'cpu',
  { budgetMs = 1000, elements = 1 << 24 }: { readonly budgetMs?: number; readonly elements?: number } = {},
): Promise<number> {
  const a = randomNormal([elements], { seed: 1, device })
  const b = randomNormal([elements], { seed: 2, device })
  const gbs = (12 * elements) / (await bestMs(() => add(a, b), budgetMs, device)) / 1e6
  a.dispose()
  b.dispose()
  return gbs
}

/**
 * Floating-point operations of a multiprocessor in one clock, by compute capability: dense tensor cores on 16-bit floats with
 * float32 sums (what NVIDIA's white papers state for A100, RTX 3090, RTX 4090, H100, B200 and RTX 5090, divided by multiprocessors and
 * boost clock), and float32 multiply-adds without them ("Throughput of Native Arithmetic Instructions", CUDA C++ Programming Guide).
 */
const perClock: Readonly<Record<string, { readonly half: number; readonly float32: number }>> = {
  '8.0': { half: 2048, float32: 128 },
  '8.6': { half: 512, float32: 256 },
  '8.7': { half: 1024, float32: 256 },
  '8.9': { half: 512, float32: 256 },
  '9.0': { half: 4096, float32: 256 },
  '10.0': { half: 8192, float32: 256 },
  '12.0': { half: 512, float32: 256 },
}

/** GFLOP/s of matrix products on a GPU by arithmetic; null where a number it needs is unknown. */
export function gpuMatrixPeak(
  { multiprocessors, clockMHz, computeCapability }: GpuReport,
  dtype: FloatDType,
): number | null {
  const rates = perClock[computeCapability]
  if (multiprocessors === null || clockMHz === null || rates === undefined) return null
  return (multiprocessors * clockMHz * (dtype === 'float32' ? rates.float32 : rates.half)) / 1e3
}
