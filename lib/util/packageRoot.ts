import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

let root: string | undefined

/** The folder of this package, whether the code runs from lib/ or from dist/. */
export function packageRoot(): string {
  if (root !== undefined) return root
  let folder = dirname(fileURLToPath(import.meta.url))
  for (;;) {
    const file = join(folder, 'package.json')
    if (existsSync(file) && JSON.parse(readFileSync(file, 'utf8')).name === 'noisewright') break
    const parent = dirname(folder)
    if (parent === folder)
      throw new Error('noisewright: its own package.json was not found; the installation is damaged')
    folder = parent
  }
  root = folder
  return folder
}
