import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { IoError } from './errors.ts'

/**
 * Path of a file that the package ships in its `assets` folder.
 *
 * Sources lie in `lib/util`, built files in `dist` or below it, so the folder is looked for upwards from this module:
 * the same code works in a checkout, from the ESM build and from the CommonJS build.
 *
 * @throws IoError when the package is incomplete
 */
export function assetPath(name: string): string {
  const start = dirname(fileURLToPath(import.meta.url))
  for (let folder = start; ; folder = dirname(folder)) {
    const candidate = join(folder, 'assets', name)
    if (existsSync(candidate)) return candidate
    if (folder === dirname(folder)) {
      throw new IoError(
        join('assets', name),
        `expected this file in the package above ${start}; install noisewright again`,
      )
    }
  }
}

/** The bytes of a file that the package ships. */
export async function readAsset(name: string): Promise<Uint8Array> {
  return readFile(assetPath(name))
}
