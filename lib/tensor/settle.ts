/** Waiting for a device. */
import { addon } from '../native/load.ts'
import { nativeFailure } from './callSite.ts'
import { tensor } from './create.ts'
import { releaseCached } from './runtime.ts'
import type { DeviceName, Tensor } from './tensor.ts'

/** Waits until everything enqueued on a device has run. */
export async function settle(device: DeviceName = 'cpu'): Promise<void> {
  const t = tensor([0], [1], { device })
  try {
    await t.read()
  } finally {
    t.dispose()
  }
}

/**
 * Waits until tensors of one device have what they were made to hold.
 * @throws NativeError when the op that was to fill one of them has failed
 */
export async function settleAll(tensors: readonly Tensor[], device: DeviceName = 'cpu'): Promise<void> {
  try {
    addon.expectFilled(tensors.map(({ handle }) => handle))
    await settle(device)
  } catch (error) {
    throw nativeFailure(error)
  }
}

/**
 * Gives memory back that is kept for reuse, once everything enqueued has run: between parts of a program that need buffers of other
 * sizes, so that what the first has left is not held beside what the second takes.
 */
export async function releaseUnused(device: DeviceName = 'cpu'): Promise<void> {
  await settle(device)
  releaseCached(device)
}
