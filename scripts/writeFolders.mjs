// node scripts/writeFolders.mjs [folder]: compiles scripts/writeFolders.ts and runs it.
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { bundle } from './bundle.mjs'

const folder = await bundle('writeFolders', { writeFolders: 'scripts/writeFolders.ts' })
const { status, error } = spawnSync(process.execPath, [join(folder, 'writeFolders.js'), ...process.argv.slice(2)], {
  stdio: 'inherit',
})
if (error) throw error
process.exit(status ?? 1)
