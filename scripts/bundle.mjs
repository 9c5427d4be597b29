// Compiles TypeScript programs that are not part of the package, so that any Node the package supports can run them.
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'tsdown'

export const root = resolve(dirname(fileURLToPath(import.meta.url)), '..')

/**
 * Bundles TypeScript files into out/<name>/, modules they share into chunks beside them.
 * @param entries output names without extension to source files, from the repository's root: `{ run: 'benchmarks/run.ts' }`
 * @returns the folder written
 */
export async function bundle(name, entries) {
  const outDir = join(root, 'out', name)
  await build({
    config: false,
    cwd: root,
    entry: entries,
    outDir,
    format: 'esm',
    platform: 'node',
    target: 'node20',
    dts: false,
    clean: true,
    fixedExtension: false,
    logLevel: 'warn',
  })
  return outDir
}
