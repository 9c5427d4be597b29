/** `npm run test:soak -- kills [number] [seed]`: kills a process while it saves, and looks whether the file is whole each time. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { killWhileSaving } from '../test/support/killedWhileSaving.ts'

const [kills = 200, seed = 1] = process.argv.slice(2).map(Number)
const folder = await mkdtemp(join(tmpdir(), 'noisewright-kills-'))
try {
  const program = fileURLToPath(new URL('savingChild.js', import.meta.url))
  const report = await killWhileSaving({ program, path: join(folder, 'model.safetensors'), kills, seed })
  for (const [name, value] of Object.entries(report)) console.log(`${name}: ${value}`)
  const bounded = report.mostLeftovers <= 1 && report.leftoversAtEnd === 0
  console.log(bounded ? 'every file found was whole' : 'FAILED: temporary files pile up')
  process.exitCode = bounded ? 0 : 1
} finally {
  await rm(folder, { recursive: true, force: true })
}
