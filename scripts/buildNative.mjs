// Builds the addon into build/Release; with nothing changed this takes a second or two.
import { spawnSync } from 'node:child_process'
import { createRequire } from 'node:module'
import { availableParallelism } from 'node:os'

const cmakeJs = createRequire(import.meta.url).resolve('cmake-js/bin/cmake-js')
const options = [
  'compile',
  '--log-level',
  'warn',
  '--parallel',
  String(availableParallelism()),
  ...process.argv.slice(2),
]
const { status, error } = spawnSync(process.execPath, [cmakeJs, ...options], { stdio: 'inherit' })
if (error) throw error
process.exit(status ?? 1)
