/** What the machine can do at most, measured in the same run as the benchmarks that are compared with it. */
import { addon } from '../lib/native/load.ts'
import { add } from '../lib/ops/add.ts'
import { randomNormal } from '../lib/tensor/create.ts'
import { wrap } from '../lib/tensor/tensor.ts'
import { settle } from './harness.ts'

export interface Peaks {
  /** Float32 multiply and add counted apart, all threads, data in registers. */
  readonly gflops: number
  /** Bytes read and written by `a + b` on tensors far larger than the caches. */
  readonly gbs: number
}

const chains = 12 // kPeakProbeChains

async function bestMs(run: () => { dispose(): void }, budgetMs: number): Promise<number> {
  let best = Number.POSITIVE_INFINITY
  const started = performance.now()
  for (let i = 0; i < 20 || performance.now() - started < budgetMs; i++) {
    const before = performance.now()
    const result = run()
    await settle()
    best = Math.min(best, performance.now() - before)
    result.dispose()
  }
  return best
}

export async function measurePeaks(budgetMs = 1000): Promise<Peaks> {
  const tasks = 64
  const vectors = 10_000
  const probe = wrap(addon.peakProbe(tasks, vectors))
  const [lanes] = (await probe.read()) as Float32Array
  probe.dispose()
  const flops = 2 * lanes! * chains * vectors * tasks
  const gflops = flops / (await bestMs(() => wrap(addon.peakProbe(tasks, vectors)), budgetMs)) / 1e6

  const elements = 1 << 24
  const a = randomNormal([elements], { seed: 1 })
  const b = randomNormal([elements], { seed: 2 })
  const gbs = (12 * elements) / (await bestMs(() => add(a, b), budgetMs)) / 1e6
  a.dispose()
  b.dispose()
  return { gflops, gbs }
}
