/** Names of temporary files and folders, and the removal of those that killed processes left. */
import { createHash } from 'node:crypto'
import { readlinkSync } from 'node:fs'
import { hostname, uptime } from 'node:os'
import { join } from 'node:path'

/** What {@link removeLeftovers} needs of a file system. */
export interface FolderFileSystem {
  readdir(path: string): Promise<readonly string[]>
  stat(path: string): Promise<{ readonly mtimeMs: number }>
  rm(path: string, options: { readonly force: boolean; readonly recursive: boolean }): Promise<void>
}

const NAME = /^\.noisewright-(?<pid>\d+)-(?<place>[0-9a-f]{8})(?<random>[0-9a-f]{12})\.(?<kind>tmp|old)$/
const DAY_MS = 24 * 3600 * 1000
/** Clocks of a file system and of this machine may differ this much. */
const CLOCK_SLACK_MS = 2000

let place: string | undefined

/**
 * Where process numbers mean what they mean here: 8 hexadecimal digits for this machine and its process namespace. Machines
 * and containers that share a folder must not judge each other's processes by number.
 */
function processPlace(): string {
  if (place === undefined) {
    let namespace = ''
    try {
      namespace = readlinkSync('/proc/self/ns/pid')
    } catch {
      // Only Linux has namespaces.
    }
    place = createHash('sha256').update(`${hostname()}\n${namespace}`).digest('hex').slice(0, 8)
  }
  return place
}

/** `.noisewright-<process>-<place and random digits>.tmp`. @param random 6 bytes */
export function temporaryName(random: Uint8Array, pid: number = process.pid): string {
  return `.noisewright-${pid}-${processPlace()}${Buffer.from(random).toString('hex')}.tmp`
}

/**
 * Paths of what processes that are gone left in a folder: named as {@link temporaryName} does, and of a process that does not run, or
 * older than the process of that number can be, or not written to for a day. What cannot be listed is left out.
 * @param kind `'tmp'`: unfinished; `'old'`: set aside by `atomicFolder`
 */
export async function leftoversIn(
  folder: string,
  kind: 'tmp' | 'old',
  fileSystem: Pick<FolderFileSystem, 'readdir' | 'stat'>,
): Promise<string[]> {
  const found: string[] = []
  for (const name of await fileSystem.readdir(folder).catch(() => [])) {
    const match = NAME.exec(name)
    if (match === null || match.groups!.kind !== kind) continue
    const path = join(folder, name)
    const status = await fileSystem.stat(path).catch(() => null)
    const { pid, place: from } = match.groups as { readonly pid: string; readonly place: string }
    if (status !== null && isAbandoned(Number(pid), from === processPlace(), status.mtimeMs)) found.push(path)
  }
  return found
}

/** Removes unfinished files and folders of processes that are gone. Nothing here fails: what cannot be removed stays. */
export async function removeLeftovers(folder: string, fileSystem: FolderFileSystem): Promise<void> {
  for (const path of await leftoversIn(folder, 'tmp', fileSystem))
    await fileSystem.rm(path, { force: true, recursive: true }).catch(() => {})
}

function isAbandoned(pid: number, isHere: boolean, writtenAt: number): boolean {
  const now = Date.now()
  if (now - writtenAt > DAY_MS) return true
  if (!isHere) return false
  if (!isRunning(pid)) return true
  // The number was given out again since: the file is older than this boot, or than this very process.
  const runsFor = pid === process.pid ? process.uptime() : uptime()
  return writtenAt < now - runsFor * 1000 - CLOCK_SLACK_MS
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ESRCH' // EPERM: it runs, as another user
  }
}
