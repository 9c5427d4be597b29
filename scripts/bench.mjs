// npm run bench -- event-loop [steps], checkpoints [python], look-alikes [count ...], metadata [python], optimizers [filter words], pictures [python], plan-scale
// [count ...], train-memory [filter words]: programs of their own in benchmarks/.
// npm run bench -- ops [filter words] [--save] [--device cuda]: bundles the benchmarks and runs them; see benchmarks/README.md.
import { spawnSync } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { bundle, root } from './bundle.mjs'

const [first, ...others] = process.argv.slice(2)
/** Programs of their own, by the word that asks for them. */
const alone = {
  'event-loop': 'eventLoop',
  checkpoints: 'checkpoints',
  'look-alikes': 'lookAlikes',
  metadata: 'metadata',
  optimizers: 'optimizers',
  pictures: 'pictures',
  'plan-scale': 'planScale',
  'train-memory': 'trainMemory',
}[first]
const files = readdirSync(join(root, 'benchmarks'), { recursive: true })
  .map((path) => path.replaceAll('\\', '/'))
  .filter((path) =>
    alone ? path === `${alone}.ts` : ['run.ts', 'load.ts'].includes(path) || path.endsWith('.bench.ts'),
  )
const folder = await bundle('bench', Object.fromEntries(files.map((path) => [path.slice(0, -3), `benchmarks/${path}`])))
const program = [join(folder, `${alone ?? 'run'}.js`), ...(alone ? others : process.argv.slice(2))]

const { status, error } = spawnSync(process.execPath, program, { stdio: 'inherit' })
if (error) throw error
process.exit(status ?? 1)
