import { expect, it } from 'vitest'
import { trainingSteps } from '../../examples/trainingSteps.ts'
import { baselineBuffers, liveBuffers } from '../support/device.ts'

it('the example of a loop made of the trainer’s parts learns and leaves nothing on the device', async () => {
  const baseline = await baselineBuffers()
  const losses = await trainingSteps(8)
  expect(await liveBuffers()).toBe(baseline)
  expect(losses).toHaveLength(8)
  expect(losses.at(-1)!).toBeLessThan(0.98 * losses[0]!)
})
