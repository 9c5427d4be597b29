import { join } from 'node:path'
import { expect, it } from 'vitest'
import { bundle } from '../../scripts/bundle.mjs'
import { killWhileSaving } from '../support/killedWhileSaving.ts'
import { makeFolder } from '../support/pictures.ts'

/** `npm run test:soak -- kills` does it 200 times. */
const kills = 12

it('a process killed at any moment of a save leaves the old file or the new one, whole', async () => {
  const folder = await bundle('savingChild', { savingChild: 'test/support/savingChild.ts' })
  const program = join(folder, 'savingChild.js')
  const report = await killWhileSaving({ program, path: join(await makeFolder(), 'model.safetensors'), kills, seed: 1 })
  console.info(JSON.stringify(report))
  expect(report.oldFound + report.newFound + report.between).toBe(kills)
  expect(report.oldFound + report.newFound, 'kills inside a save').toBeGreaterThan(kills / 4)
  expect(report.mostLeftovers, 'temporary files at once').toBeLessThanOrEqual(1)
  expect(report.leftoversAtEnd).toBe(0)
})
