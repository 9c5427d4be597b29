import { expect, it } from 'vitest'
import { customLoop } from '../../examples/customLoop.ts'
import { baselineBuffers, liveBuffers } from '../support/device.ts'

it('the example of a training loop of one’s own learns and leaves nothing on the device', async () => {
  const baseline = await baselineBuffers()
  const losses = await customLoop(12)
  expect(await liveBuffers()).toBe(baseline)
  expect(losses).toHaveLength(12)
  expect(losses.every((loss) => Number.isFinite(loss) && loss > 0)).toBe(true)
  // Four pairs of noise and time take turns: each pair's loss is compared with its own.
  for (let pair = 0; pair < 4; pair++) expect(losses[pair + 8]!, `pair ${pair}`).toBeLessThan(losses[pair]!)
  expect(await customLoop(2)).toEqual(losses.slice(0, 2))
})
