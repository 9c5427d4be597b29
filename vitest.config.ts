import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'
import { SlowFirst } from './test/support/slowFirst.ts'

/** The examples import the package by its name; here that is its source. */
const source = (path: string): string => fileURLToPath(new URL(path, import.meta.url))

export default defineConfig({
  resolve: {
    alias: [
      { find: /^noisewright$/, replacement: source('lib/index.ts') },
      { find: /^noisewright\/train$/, replacement: source('lib/train/index.ts') },
    ],
  },
  test: {
    pool: 'forks',
    maxWorkers: 2,
    sequence: { sequencer: SlowFirst },
    // Far above what any test takes alone: they end one that hangs, and must not end one that a loaded machine slows down. What a test
    // that was ended still computes is counted against the buffers of the next.
    testTimeout: 240_000,
    hookTimeout: 240_000,
    setupFiles: [source('test/support/equalBytes.ts')],
    projects: [
      { extends: true, test: { name: 'structure', include: ['test/structure/**/*.test.ts'] } },
      {
        extends: true,
        test: {
          name: 'library',
          include: ['test/**/*.test.ts'],
          exclude: ['test/structure/**', 'test/full/**', 'test/browser/**', '**/node_modules/**'],
        },
      },
    ],
  },
})
