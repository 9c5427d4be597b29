// npm run test:soak [-- steps]: compiles scripts/soak.ts and runs it.
// npm run test:soak -- kills [number] [seed]: the same with scripts/soakKills.ts.
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { bundle } from './bundle.mjs'

const [first, ...others] = process.argv.slice(2)
const isKills = first === 'kills'
const entries = isKills
  ? { soakKills: 'scripts/soakKills.ts', savingChild: 'test/support/savingChild.ts' }
  : { soak: 'scripts/soak.ts' }
const folder = await bundle('soak', entries)
const program = join(folder, isKills ? 'soakKills.js' : 'soak.js')
const options = ['--expose-gc', program, ...(isKills ? others : process.argv.slice(2))]
const { status, error } = spawnSync(process.execPath, options, { stdio: 'inherit' })
if (error) throw error
process.exit(status ?? 1)
