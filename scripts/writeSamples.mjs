// node scripts/writeSamples.mjs FOLDER: compiles scripts/writeSamples.ts and runs it.
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { bundle } from './bundle.mjs'

const folder = await bundle('writeSamples', { writeSamples: 'scripts/writeSamples.ts' })
const { status, error } = spawnSync(process.execPath, [join(folder, 'writeSamples.js'), ...process.argv.slice(2)], {
  stdio: 'inherit',
})
if (error) throw error
process.exit(status ?? 1)
