import { randomBytes } from 'node:crypto'
import { open, readFile, rename, rm, stat, utimes } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { systemErrorCode, toIoError } from '../io/systemError.ts'

export interface FileLockOptions {
  readonly signal?: AbortSignal | undefined
  /** A lock not renewed for so long belongs to a process that died. Default 30 s; renewed three times in that time. */
  readonly staleMs?: number
  /** Between two looks at a lock that another holds. Default 200 ms. */
  readonly pollMs?: number
}

/**
 * Runs `work` while holding the lock `path`, a file that only one process (or one caller in it) can create. Node has no `flock`, so
 * the holder renews the file's time, and a lock that is no longer renewed is taken over.
 *
 * Take-over is not airtight when two waiters find the same dead lock at the same instant; callers must stay correct without the lock
 * (a download writes the same bytes at the same places) and use it to not do work twice.
 *
 * @throws IoError when the lock file cannot be written; what `signal` was aborted with; what `work` throws
 */
export async function withFileLock<T>(
  path: string,
  work: () => Promise<T>,
  { signal, staleMs = 30_000, pollMs = 200 }: FileLockOptions = {},
): Promise<T> {
  const mark = `${process.pid}-${randomBytes(8).toString('hex')}`
  while (!(await tryCreate(path, mark))) {
    signal?.throwIfAborted()
    await removeStale(path, staleMs)
    await sleep(pollMs)
  }
  const renewal = setInterval(() => {
    const now = new Date()
    void utimes(path, now, now).catch(() => {})
  }, staleMs / 3)
  renewal.unref()
  try {
    signal?.throwIfAborted()
    return await work()
  } finally {
    clearInterval(renewal)
    // Another's lock, taken over after this process slept for long, stays.
    if ((await readFile(path, 'utf8').catch(() => '')) === mark) await rm(path, { force: true }).catch(() => {})
  }
}

async function tryCreate(path: string, mark: string): Promise<boolean> {
  try {
    const file = await open(path, 'wx')
    await file.writeFile(mark).finally(() => file.close())
    return true
  } catch (error) {
    const code = systemErrorCode(error)
    // Windows answers EPERM while another process is deleting the file.
    if (code === 'EEXIST' || (code === 'EPERM' && process.platform === 'win32')) return false
    throw toIoError(path, 'create a lock file', error)
  }
}

async function removeStale(path: string, staleMs: number): Promise<void> {
  const found = await stat(path).catch(() => undefined)
  if (found === undefined || Date.now() - found.mtimeMs < staleMs) return
  // Renaming has one winner, so a lock is taken away once.
  const away = `${path}.${randomBytes(6).toString('hex')}`
  await rename(path, away)
    .then(() => rm(away, { force: true }))
    .catch(() => {})
}
