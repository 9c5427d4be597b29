/** Waiting for the device, and where its binary is. */
import { join } from 'node:path'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { tensor } from '../../lib/tensor/create.ts'
import { memory } from '../../lib/tensor/runtime.ts'
import { packageRoot } from '../../lib/util/packageRoot.ts'

/** Waits until everything enqueued so far has run and its memory has been given back. */
export async function settled(): Promise<void> {
  const t = tensor([0], [1])
  await t.read()
  t.dispose()
}

/** Storages that exist, once everything enqueued has run. */
export async function liveBuffers(): Promise<number> {
  await settled()
  return memory().liveBuffers
}

/** The binary that lib/native/find.ts loads in this process. */
export function binaryPath(): string {
  return process.env.NOISEWRIGHT_BINARY || join(packageRoot(), 'build', 'Release', 'noisewright.node')
}

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void

/** Collects garbage and lets finalizers run. */
export async function collectGarbage(): Promise<void> {
  collect()
  await new Promise((resolve) => setImmediate(resolve))
}

/**
 * `liveBuffers`, once what earlier tests forgot has been collected: a baseline that no collection can lower later. What is compared
 * with it must be counted by `liveBuffers`, which does not collect: a leak that only the collector mends is a leak.
 */
export async function baselineBuffers(): Promise<number> {
  let before = await liveBuffers()
  for (;;) {
    await collectGarbage()
    const now = await liveBuffers()
    if (now >= before) return now
    before = now
  }
}
