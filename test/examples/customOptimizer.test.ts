import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { customOptimizer } from '../../examples/customOptimizer.ts'
import { packageRoot } from '../../lib/util/packageRoot.ts'
import { baselineBuffers, liveBuffers } from '../support/device.ts'

it('the example of an optimizer of one’s own learns and leaves nothing on the device', async () => {
  const baseline = await baselineBuffers()
  const losses = await customOptimizer(60)
  expect(await liveBuffers()).toBe(baseline)
  expect(losses).toHaveLength(60)
  expect(losses.at(-1)!).toBeLessThan(0.01 * losses[0]!)
})

it('the example imports nothing but the package', async () => {
  const text = await readFile(join(packageRoot(), 'examples', 'customOptimizer.ts'), 'utf8')
  expect([...text.matchAll(/from '([^']+)'/g)].map(([, name]) => name)).toEqual(['noisewright'])
})
