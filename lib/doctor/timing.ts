/** How long work takes on a device. */
import { scope } from '../tensor/scope.ts'
import { settle } from '../tensor/settle.ts'
import type { DeviceName } from '../tensor/tensor.ts'

/** Shortest stretch that is timed: waiting for the device costs some hundredths of a millisecond. */
const stretchMs = 5
const stretches = 5

/**
 * The median time of a run in milliseconds, over five stretches of as many runs as take 5 ms, after one that is not counted.
 * @param work enqueues a run; what tensors it makes are freed
 */
export async function medianMs(work: () => unknown, device: DeviceName): Promise<number> {
  const stretch = async (runs: number): Promise<number> => {
    const started = performance.now()
    for (let run = 0; run < runs; run++)
      scope(() => {
        work()
      })
    await settle(device)
    return (performance.now() - started) / runs
  }
  await stretch(1)
  const runs = Math.min(100, Math.max(1, Math.ceil(stretchMs / (await stretch(1)))))
  const times: number[] = []
  for (let i = 0; i < stretches; i++) times.push(await stretch(runs))
  return times.sort((a, b) => a - b)[stretches >> 1]!
}
