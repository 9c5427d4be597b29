import { IoError, NoisewrightError } from '../util/errors.ts'

/** What the operating system's error codes mean to the person who has to act on them. */
const explanations: Readonly<Record<string, string>> = {
  ENOSPC: 'the disk is full; free some space or choose another folder',
  EDQUOT: 'the disk quota is used up; free some space or choose another folder',
  EACCES: 'permission denied; check the owner and the mode of the file and its folder',
  EPERM: 'the operation is not permitted; check the owner and the mode of the file and its folder',
  EROFS: 'the file system is read-only; choose another folder',
  ENOENT: 'no such file or folder; check the path',
  ENOTDIR: 'a part of the path is a file where a folder was expected; check the path',
  EISDIR: 'this is a folder where a file was expected; choose another name',
  EMFILE: 'too many files are open in this process; close some or raise the limit (ulimit -n)',
  ENFILE: 'too many files are open on this machine',
  EIO: 'the device reported an input/output error; check the disk',
  EFBIG: 'the file is larger than the file system or the limit (ulimit -f) allows',
  ENAMETOOLONG: 'the name is too long for the file system; choose a shorter one',
  EBUSY: 'the file is in use by another program; close it there',
  ETXTBSY: 'the file is being executed; stop that program first',
}

/** The code of a Node system error (`'ENOENT'`), or undefined for any other value. */
export function systemErrorCode(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('code' in error)) return undefined
  return typeof error.code === 'string' && 'syscall' in error ? error.code : undefined
}

/**
 * Turns what a file operation threw into an {@link IoError} that says what was attempted, why it failed and what to do.
 *
 * Errors that the operating system did not raise (those of a data producer, our own errors) come back unchanged.
 *
 * @param path the file or folder the operation was about
 * @param action what was attempted, as an infinitive: `'write 1024 bytes'`
 * @param detail appended to the message after a semicolon: what state things are in now
 */
export function toIoError(path: string, action: string, error: unknown, detail?: string): unknown {
  const code = systemErrorCode(error)
  if (code === undefined || error instanceof NoisewrightError) return error
  const reason = explanations[code] ?? (error as Error).message
  const tail = detail === undefined ? '' : `; ${detail}`
  return new IoError(path, `cannot ${action}: ${reason} (${code})${tail}`, { cause: error })
}
