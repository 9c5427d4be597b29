/**
 * A GPU for tests: the look-alike driver of native/emulation, which runs this build's CUDA kernels on the CPU. The addon opens
 * the driver on the first question about GPUs, so importing this file first is enough; each test file is its own process.
 */
import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { packageRoot } from '../../lib/util/packageRoot.ts'

/** The addon under test, as lib/native/load.ts finds it. */
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

/** Orders in which the threads of a kernel may take turns. Every result must be the same in each. */
export const orders = ['forward', 'reverse', 'random:1', 'random:2'] as const

/** Sets what the look-alike driver does from its next call on. Nothing may be under way on the device. */
export function setEmulation(setting: 'ORDER' | 'REPLACE' | 'FAIL', value: string): void {
  process.env[`NOISEWRIGHT_EMULATION_${setting}`] = value
}
