/** Waiting for a device. */
import { tensor } from './create.ts'
import { releaseCached } from './runtime.ts'
import type { DeviceName } from './tensor.ts'

/** Waits until everything enqueued on a device has run. */
export async function settle(device: DeviceName = 'cpu'): Promise<void> {
  const t = tensor([0], [1], { device })
  await t.read()
  t.dispose()
}

/**
 * Gives memory back that is kept for reuse, once everything enqueued has run: between parts of a program that need buffers of other
 * sizes, so that what the first has left is not held beside what the second takes.
 */
export async function releaseUnused(device: DeviceName = 'cpu'): Promise<void> {
  await settle(device)
  releaseCached(device)
}
