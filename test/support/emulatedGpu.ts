/**
 * A GPU for tests: the look-alike driver of native/emulation, which runs this build's CUDA kernels on the CPU. The addon opens
 * the driver on the first question about GPUs, so importing this file first is enough; each test file is its own process.
 */
import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { packageRoot } from '../../lib/util/packageRoot.ts'

/** The addon under test, as lib/native/find.ts finds it. */
export const binary = process.env.NOISEWRIGHT_BINARY ?? join(packageRoot(), 'build', 'Release', 'noisewright.node')

/** Whether the emulation exists for this machine: its switch of stacks is written for x86-64 Linux. */
export const canEmulate = process.platform === 'linux' && process.arch === 'x64'

/**
 * The look-alike driver: what NOISEWRIGHT_LIBCUDA names, else libfakecuda.so beside the addon, in build/emulation, or emulation/
 * next to a binary of another build folder.
 */
export const fakeDriver =
  process.env.NOISEWRIGHT_LIBCUDA ??
  [dirname(binary), dirname(dirname(binary))]
    .map((folder) => join(folder, 'emulation', 'libfakecuda.so'))
    .find(existsSync)

if (canEmulate) {
  if (!fakeDriver) throw new Error(`no emulation/libfakecuda.so near ${binary}: build with -DNOISEWRIGHT_TESTS=ON`)
  process.env.NOISEWRIGHT_LIBCUDA = fakeDriver
}

/** Whether `npm run test:cuda` runs, which has time for everything. */
export const allOrders = process.env.NOISEWRIGHT_TEST_ORDERS === 'all'

/**
 * Orders in which the threads of a kernel take turns; every result must be the same in each. Where a barrier is missing, a thread that
 * runs before the one it waits for sees the mistake, and one of the first two orders has it so. `npm run test:cuda` sets
 * NOISEWRIGHT_TEST_ORDERS to `all` and adds the others.
 */
export const orders: readonly string[] = ['forward', 'reverse', ...(allOrders ? ['random:1', 'random:2'] : [])]

/** Sets what the look-alike driver does from its next call on. Nothing may be under way on the device. */
export function setEmulation(
  setting: 'ORDER' | 'REPLACE' | 'FAIL' | 'STREAMS' | 'HOLD' | 'DEVICE',
  value: string,
): void {
  process.env[`NOISEWRIGHT_EMULATION_${setting}`] = value
}
