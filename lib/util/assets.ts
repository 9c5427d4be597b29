import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { IoError } from './errors.ts'
import { packageRoot } from './packageRoot.ts'

/**
 * Path of a file that the package ships in its `assets` folder.
 *
 * @throws IoError when the package is incomplete
 */
export function assetPath(name: string): string {
  const path = join(packageRoot(), 'assets', name)
  if (!existsSync(path)) throw new IoError(path, 'expected this file in the package; install noisewright again')
  return path
}

/** The bytes of a file that the package ships. */
export async function readAsset(name: string): Promise<Uint8Array> {
  return readFile(assetPath(name))
}
