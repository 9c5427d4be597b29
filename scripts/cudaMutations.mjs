// npm run test:mutations [-- --only TEXT --seed N --count N]: compiles scripts/mutations/run.ts and runs it.
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { bundle } from './bundle.mjs'

const folder = await bundle('cudaMutations', { run: 'scripts/mutations/run.ts' })
const { status, error } = spawnSync(process.execPath, [join(folder, 'run.js'), ...process.argv.slice(2)], {
  stdio: 'inherit',
})
if (error) throw error
process.exit(status ?? 1)
