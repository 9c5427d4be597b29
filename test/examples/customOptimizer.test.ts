import { expect, it } from 'vitest'
import { customOptimizer } from '../../examples/customOptimizer.ts'
import { baselineBuffers, liveBuffers } from '../support/device.ts'

it('the example of an optimizer of one’s own learns and leaves nothing on the device', async () => {
  const baseline = await baselineBuffers()
  const losses = await customOptimizer(60)
  expect(await liveBuffers()).toBe(baseline)
  expect(losses).toHaveLength(60)
  expect(losses.at(-1)!).toBeLessThan(0.01 * losses[0]!)
})
