// npm run bench -- ops [filter words] [--save]: bundles the benchmarks and runs them; see benchmarks/README.md.
import { spawnSync } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { bundle, root } from './bundle.mjs'

const files = readdirSync(join(root, 'benchmarks'), { recursive: true })
  .map((path) => path.replaceAll('\\', '/'))
  .filter((path) => path === 'run.ts' || path.endsWith('.bench.ts'))
const folder = await bundle('bench', Object.fromEntries(files.map((path) => [path.slice(0, -3), `benchmarks/${path}`])))

const { status, error } = spawnSync(process.execPath, [join(folder, 'run.js'), ...process.argv.slice(2)], {
  stdio: 'inherit',
})
if (error) throw error
process.exit(status ?? 1)
