import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'

/** The models in their real sizes, one process for each file and one file at a time: see fullSize.ts. */
export default defineConfig({
  root: fileURLToPath(new URL('../..', import.meta.url)),
  test: {
    name: 'full',
    include: ['test/full/*.test.ts'],
    pool: 'forks',
    maxWorkers: 1,
    fileParallelism: false,
    testTimeout: 1_800_000,
    hookTimeout: 1_800_000,
    disableConsoleIntercept: true,
  },
})
