import { describe, expect, it } from 'vitest'
import { SkippedSteps } from '../../lib/train/skippedSteps.ts'
import { ConfigError } from '../../lib/util/errors.ts'

describe('SkippedSteps', () => {
  it('counts skipped steps and names the parameter', () => {
    const skipped = new SkippedSteps()
    expect(skipped.add(1, [])).toBeNull()
    expect(skipped.add(2, ['down'])).toBe(
      'step 2: the gradient of down is not finite; the step was skipped (1 so far; 10 in a row end the training)',
    )
    expect(skipped.add(3, ['down', 'up', 'bias'])).toContain('the gradient of down and of 2 more is not finite')
    expect(skipped.count).toBe(2)
  })
  it('ends the training after ten in a row, not after ten in all', () => {
    const skipped = new SkippedSteps()
    for (let step = 1; step <= 9; step++) skipped.add(step, ['down'])
    skipped.add(10, [])
    for (let step = 11; step <= 19; step++) skipped.add(step, ['down'])
    expect(() => skipped.add(20, ['down'])).toThrow(ConfigError)
    expect(() => skipped.add(21, ['down'])).toThrow('as were the 9 before. Lower the learning rate')
  })
})
