// npm run fuzz [-- minutes [parser [seed]]]: compiles scripts/fuzz.ts and runs it.
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { bundle } from './bundle.mjs'

const folder = await bundle('fuzz', { fuzz: 'scripts/fuzz.ts' })
const options = ['--max-old-space-size=1024', join(folder, 'fuzz.js'), ...process.argv.slice(2)]
const { status, error } = spawnSync(process.execPath, options, { stdio: 'inherit' })
if (error) throw error
process.exit(status ?? 1)
