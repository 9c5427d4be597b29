// npm run test:soak [-- steps]: compiles scripts/soak.ts and runs it.
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { bundle } from './bundle.mjs'

const folder = await bundle('soak', { soak: 'scripts/soak.ts' })
const options = ['--expose-gc', join(folder, 'soak.js'), ...process.argv.slice(2)]
const { status, error } = spawnSync(process.execPath, options, { stdio: 'inherit' })
if (error) throw error
process.exit(status ?? 1)
