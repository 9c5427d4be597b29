import { join } from 'node:path'
import { expect, it } from 'vitest'
import { bundle } from '../../scripts/bundle.mjs'
import { killWhileTraining } from '../support/killedWhileTraining.ts'
import { makeFolder } from '../support/pictures.ts'

/** `npm run test:soak -- resume-kills` does it more often. */
const kills = 3

it('a training killed at any moment goes on from its newest state and ends with the bits of one that was left alone', async () => {
  const program = join(
    await bundle('trainingChild', { trainingChild: 'test/support/trainingChild.ts' }),
    'trainingChild.js',
  )
  const report = await killWhileTraining({
    program,
    folder: await makeFolder(),
    kills,
    seed: 3,
    steps: 3,
    mostPerRun: 2,
  })
  console.info(JSON.stringify(report))
  expect(report.kills).toBe(kills)
  // A network, and a whole model.
  expect(report.runs).toBeGreaterThan(1)
  expect(report.resumed + report.begunAgain).toBe(kills)
  expect(report.leftoversAtEnd).toBe(0)
}, 300_000)
