/** `npm run test:soak -- resume-kills [number] [seed]`: kills trainings at any moment, goes on from their states, and compares the ends. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { killWhileTraining } from '../test/support/killedWhileTraining.ts'

const [kills = 40, seed = 1] = process.argv.slice(2).map(Number)
const folder = await mkdtemp(join(tmpdir(), 'noisewright-resume-kills-'))
try {
  const program = fileURLToPath(new URL('trainingChild.js', import.meta.url))
  const report = await killWhileTraining({ program, folder, kills, seed, onProgress: console.log })
  for (const [name, value] of Object.entries(report)) console.log(`${name}: ${value}`)
  const clean = report.leftoversAtEnd === 0
  console.log(clean ? 'every run ended with the same bits' : 'FAILED: temporary files are left')
  process.exitCode = clean ? 0 : 1
} finally {
  await rm(folder, { recursive: true, force: true })
}
