import { defineConfig } from 'vitest/config'

/** Tests in a real browser: `npm run test:browser`, apart from the others since they need Chromium on the machine. */
export default defineConfig({
  test: { include: ['test/browser/**/*.test.ts'], pool: 'forks', testTimeout: 60_000, hookTimeout: 120_000 },
})
