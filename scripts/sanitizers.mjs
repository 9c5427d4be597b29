// npm run test:sanitizers [-- TESTS]: builds the emulation of GPUs with AddressSanitizer and UBSan in out/sanitizers, and runs
// with it, file by file, test/cuda or the tests that are named (cuda/norms ops/add). Ends with 1 where one fails.
import { execFileSync, spawnSync } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { root } from './bundle.mjs'

const folder = join(root, 'out', 'sanitizers')
const options = ['--CDWITH_CUDA=OFF', '--CDWITH_ASAN=ON', '--CDNOISEWRIGHT_TESTS=ON', '--target', 'fakecuda']
const build = spawnSync(process.execPath, [join(root, 'scripts/buildNative.mjs'), '--out', folder, ...options], {
  cwd: root,
  stdio: 'inherit',
})
if (build.status !== 0) process.exit(build.status ?? 1)

// Node itself has no AddressSanitizer, whose library must come first. Fibers have stacks of their own, and the emulation a signal
// stack; what Node leaves behind when it ends is no leak of ours.
const env = {
  ...process.env,
  LD_PRELOAD: execFileSync('c++', ['-print-file-name=libasan.so'], { encoding: 'utf8' }).trim(),
  ASAN_OPTIONS: 'detect_leaks=0:use_sigaltstack=0:detect_stack_use_after_return=0',
  UBSAN_OPTIONS: 'halt_on_error=1:print_stacktrace=1',
  NOISEWRIGHT_LIBCUDA: join(folder, 'emulation', 'libfakecuda.so'),
}
const all = readdirSync(join(root, 'test', 'cuda'))
  .filter((name) => name.endsWith('.test.ts'))
  .map((name) => `cuda/${name.replace('.test.ts', '')}`)
const named = process.argv.slice(2)
const failed = []
for (const test of named.length > 0 ? named : all) {
  const { status } = spawnSync(
    process.execPath,
    [
      'node_modules/vitest/vitest.mjs',
      'run',
      '--project=library',
      `test/${test}.test.ts`,
      '--testTimeout=0',
      ...(test.startsWith('cuda/') ? [] : ['-t', 'GPU|emulation']),
    ],
    { cwd: root, env, stdio: 'inherit' },
  )
  if (status !== 0) failed.push(test)
}
console.log(failed.length > 0 ? `failed: ${failed.join(', ')}` : 'no failures')
process.exit(failed.length > 0 ? 1 : 0)
