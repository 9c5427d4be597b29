// npm run test:soak [-- steps]: compiles scripts/soak.ts and runs it.
// npm run test:soak -- kills [number] [seed]: the same with scripts/soakKills.ts.
// npm run test:soak -- resume-kills [number] [seed]: the same with scripts/soakResumeKills.ts.
// npm run test:soak -- optimizers [names]: the same with scripts/soakOptimizers.ts.
// npm run test:soak -- paged [folder]: the same with scripts/soakPaged.ts.
// npm run test:soak -- learning [methods]: the same with scripts/soakLearning.ts.
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { bundle } from './bundle.mjs'

const [first, ...others] = process.argv.slice(2)
const programs = {
  kills: 'soakKills',
  'resume-kills': 'soakResumeKills',
  optimizers: 'soakOptimizers',
  paged: 'soakPaged',
  learning: 'soakLearning',
}
const entry = programs[first] ?? 'soak'
const entries = { [entry]: `scripts/${entry}.ts` }
if (entry === 'soakKills') entries.savingChild = 'test/support/savingChild.ts'
if (entry === 'soakResumeKills') entries.trainingChild = 'test/support/trainingChild.ts'
const folder = await bundle('soak', entries)
const options = ['--expose-gc', join(folder, `${entry}.js`), ...(entry === 'soak' ? process.argv.slice(2) : others)]
const { status, error } = spawnSync(process.execPath, options, { stdio: 'inherit' })
if (error) throw error
process.exit(status ?? 1)
