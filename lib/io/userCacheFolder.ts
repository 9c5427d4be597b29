import { homedir } from 'node:os'
import { join } from 'node:path'

/** The environment variables that name a place for caches. */
export type CacheEnvironment = Readonly<Record<string, string | undefined>>

/**
 * Where this user's programs keep what they can make again: `XDG_CACHE_HOME`, else `LOCALAPPDATA` on Windows, `~/Library/Caches` on
 * macOS, `~/.cache` elsewhere. Nothing is created.
 */
export function userCacheFolder(
  environment: CacheEnvironment = process.env,
  platform: NodeJS.Platform = process.platform,
): string {
  if (environment.XDG_CACHE_HOME) return environment.XDG_CACHE_HOME
  if (platform === 'win32') return environment.LOCALAPPDATA || join(homedir(), 'AppData', 'Local')
  return platform === 'darwin' ? join(homedir(), 'Library', 'Caches') : join(homedir(), '.cache')
}
