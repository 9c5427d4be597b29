import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'

/** Every CUDA kernel in the emulation, in all orders of threads; `npm test` runs the same cases in two of them. */
export default defineConfig({
  root: fileURLToPath(new URL('../..', import.meta.url)),
  test: {
    name: 'cuda',
    include: ['test/cuda/*.test.ts', 'test/ops/*.test.ts'],
    env: { NOISEWRIGHT_TEST_ORDERS: 'all' },
    pool: 'forks',
    maxWorkers: 2,
    testTimeout: 240_000,
    hookTimeout: 240_000,
    setupFiles: [fileURLToPath(new URL('../support/equalBytes.ts', import.meta.url))],
  },
})
