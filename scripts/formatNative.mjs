// clang-format over all four native extensions; --check only reports.
import { spawnSync } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { createRequire } from 'node:module'

const files = readdirSync('native', { recursive: true })
  .filter((name) => /\.(h|cpp|cuh|cu)$/.test(name))
  .map((name) => `native/${name}`)
const clangFormat = createRequire(import.meta.url).resolve('clang-format-node/build/cli.js')
const options = process.argv.includes('--check') ? ['--dry-run', '--Werror'] : ['-i']
const { status, error } = spawnSync(process.execPath, [clangFormat, ...options, ...files], { stdio: 'inherit' })
if (error) throw error
process.exit(status ?? 1)
