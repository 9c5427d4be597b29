// npm run miniature [-- folder]: makes the model of assets/miniature anew, from nothing or from where an earlier run stopped.
// npm run miniature -- evaluate [folder]: draws with it and measures; see assets/miniature/README.md.
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { bundle } from './bundle.mjs'

const [first, ...others] = process.argv.slice(2)
const entry = first === 'evaluate' ? 'evaluate' : 'make'
const folder = await bundle('miniatureRecipe', { [entry]: `scripts/miniature/${entry}.ts` })
const program = [join(folder, `${entry}.js`), ...(entry === 'evaluate' ? others : process.argv.slice(2))]
const { status, error } = spawnSync(process.execPath, program, { stdio: 'inherit' })
if (error) throw error
process.exit(status ?? 1)
