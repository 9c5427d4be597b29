import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { fuzzTargets } from './fuzzTargets.ts'

/** Twenty seconds for all parsers together; `npm run fuzz` takes as long as it is told. */
const TOTAL_MS = 20_000
const targets = await fuzzTargets()

describe('parsers of foreign files, given mutated ones', () => {
  it.each(targets.map((target) => [target.name, target] as const))(
    '%s: read or refused, in bounds',
    async (_name, target) => {
      const counts = { read: 0, refused: 0 }
      const property = fc.asyncProperty(target.inputs, async (bytes) => {
        counts[await target.run(bytes)]++
      })
      await fc.assert(property, { numRuns: 1_000_000, interruptAfterTimeLimit: TOTAL_MS / targets.length })
      // Mutations that only ever break a file, or never do, would test little.
      expect(counts.read + counts.refused).toBeGreaterThan(50)
      expect(Math.min(counts.read, counts.refused)).toBeGreaterThan(0)
    },
  )
})
