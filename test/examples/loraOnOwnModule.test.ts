import { expect, it } from 'vitest'
import { loraOnOwnModule } from '../../examples/loraOnOwnModule.ts'
import { baselineBuffers, liveBuffers } from '../support/device.ts'

it('the example of branches beside a module of one’s own learns and leaves nothing on the device', async () => {
  const baseline = await baselineBuffers()
  const losses = await loraOnOwnModule(80)
  expect(await liveBuffers()).toBe(baseline)
  expect(losses.at(-1)!).toBeLessThan(0.3 * losses[0]!)
})
