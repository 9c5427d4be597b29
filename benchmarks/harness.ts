/** What a benchmark file exports, and how one is timed. `npm run bench -- ops [filter words]` runs them. */
import { memory, resetPeak } from '../lib/tensor/runtime.ts'
import { Scope } from '../lib/tensor/scope.ts'
import { settle as settleDevice } from '../lib/tensor/settle.ts'
import type { Tensor } from '../lib/tensor/tensor.ts'
import { device } from './tensors.ts'

export interface Bench {
  /** Op, dtype and shape: `linear float32 4096x320x320`. */
  readonly name: string
  /** Floating-point operations of one run, multiply and add counted apart. */
  readonly flops?: number
  /** Bytes that must move between memory and the kernel: inputs read once, outputs written once. */
  readonly bytes?: number
  /**
   * Makes the inputs, which are disposed after the measurement. `run` enqueues the work once; its result is disposed. `error` is
   * rms(error) / rms(reference) of a result. `release` frees what no scope does: the parameters of a model.
   */
  setup(): { run(): Tensor | readonly Tensor[]; error?(): Promise<number>; release?(): void }
}

export interface Measurement {
  readonly name: string
  readonly minMs: number
  readonly medianMs: number
  readonly gflops: number | null
  readonly gbs: number | null
  readonly peakBytes: number
  readonly error: number | null
}

/** Waits until everything enqueued has run. */
export function settle(): Promise<void> {
  return settleDevice(device)
}

function disposeAll(result: Tensor | readonly Tensor[]): void {
  if (Array.isArray(result)) for (const t of result) t.dispose()
  else (result as Tensor).dispose()
}

/** Runs a benchmark until `budgetMs` is used or 50 repetitions are done, after a warm-up, and reports minimum and median. */
export async function measure(bench: Bench, budgetMs = 1500): Promise<Measurement> {
  // Nothing else makes tensors meanwhile, so that the scope may stay open while the device is waited for.
  const opened = new Scope()
  const { run, error, release } = bench.setup()
  try {
    return await timed(bench, run, error, budgetMs)
  } finally {
    release?.()
    opened.close()
    await settle()
  }
}

async function timed(
  bench: Bench,
  run: () => Tensor | readonly Tensor[],
  error: (() => Promise<number>) | undefined,
  budgetMs: number,
): Promise<Measurement> {
  disposeAll(run())
  await settle()
  resetPeak(device)
  const times: number[] = []
  const started = performance.now()
  while (times.length < 3 || (times.length < 50 && performance.now() - started < budgetMs)) {
    const before = performance.now()
    disposeAll(run())
    await settle()
    times.push(performance.now() - before)
  }
  times.sort((a, b) => a - b)
  const minMs = times[0]!
  return {
    name: bench.name,
    minMs,
    medianMs: times[times.length >> 1]!,
    gflops: bench.flops === undefined ? null : bench.flops / minMs / 1e6,
    gbs: bench.bytes === undefined ? null : bench.bytes / minMs / 1e6,
    peakBytes: memory(device).peakBytes,
    error: error ? await error() : null,
  }
}
