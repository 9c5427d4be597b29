import { existsSync, readdirSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { NativeError } from '../util/errors.ts'
import { packageRoot } from '../util/packageRoot.ts'
import type { Addon } from './addon.ts'

const require = createRequire(import.meta.url)

/** A binary that was to be loaded. */
export interface LoadAttempt {
  readonly path: string
  /** Why it does not load, or null when it did. */
  readonly error: string | null
}

/** What this process has tried to load, in order; the last one loaded, if any did. */
export const loadAttempts: LoadAttempt[] = []

/** Where a binary may be, best first: the one named by the environment, one built here, the prebuilt one of this platform. */
function candidates(): string[] {
  const forced = process.env.NOISEWRIGHT_BINARY
  if (forced) return [forced]
  const root = packageRoot()
  const paths = process.env.PREBUILDS_ONLY ? [] : [join(root, 'build', 'Release', 'noisewright.node')]
  const folder = join(root, 'prebuilds', `${process.platform}-${process.arch}`)
  if (existsSync(folder)) {
    for (const name of readdirSync(folder)) if (name.endsWith('.node')) paths.push(join(folder, name))
  }
  return paths
}

/**
 * Loads the native addon.
 * @throws NativeError that lists what was tried and what to do
 */
export function loadAddon(): Addon {
  const paths = candidates()
  loadAttempts.length = 0
  for (const path of paths) {
    try {
      const addon = require(path) as Addon
      loadAttempts.push({ path, error: null })
      return addon
    } catch (error) {
      loadAttempts.push({ path, error: (error as Error).message.split('\n')[0]! })
      // A binary that loads and then refuses to start has said why: another build of it would say the same.
      if ((error as { code?: string }).code === 'ERR_NATIVE')
        throw new NativeError((error as Error).message, { cause: error })
    }
  }
  const tried = loadAttempts.map(({ path, error }) => `  ${path}: ${error}`)
  if (paths.length === 0) tried.push('  no binary for this platform is in the package')
  const forced = process.env.NOISEWRIGHT_BINARY
    ? 'NOISEWRIGHT_BINARY names the only file that was tried: correct it, or unset it to use the binary of the package.\n'
    : ''
  throw new NativeError(
    `noisewright has no native binary that loads on ${process.platform}-${process.arch}. Tried:\n${tried.join('\n')}\n` +
      forced +
      'Build it with\n' +
      '    npx noisewright-build        (needs CMake, a C++17 compiler, and ninja or make)\n' +
      'or allow its install script and run: npm rebuild noisewright',
  )
}
