/** The real file system, with faults. */
import * as fs from 'node:fs/promises'
import type { WritableFile, WritableFileSystem } from '../../lib/io/atomicWrite.ts'

/** An error as the operating system raises it. */
export function systemError(code: string): Error {
  return Object.assign(new Error(`${code}: made by the test`), { code, syscall: 'write' })
}

/** The real file system, some operations of the files it opens replaced; each gets the real file. */
export function diskWith(faults: (file: WritableFile, path: string) => Partial<WritableFile>): WritableFileSystem {
  return {
    ...fs,
    open: async (path, flags) => {
      const file = await fs.open(path, flags)
      const plain: WritableFile = {
        write: (data, offset, length) => file.write(data, offset, length),
        read: (buffer, offset, length, position) => file.read(buffer, offset, length, position),
        sync: () => file.sync(),
        stat: () => file.stat(),
        close: () => file.close(),
      }
      return { ...plain, ...faults(plain, path) }
    },
  }
}

/** The real file system, full after so many bytes: over all files, or in each. */
export function diskWithRoomFor(bytes: number, { perFile = false } = {}): WritableFileSystem {
  let left = bytes
  return diskWith((file) => {
    if (perFile) left = bytes
    return {
      write: async (data, offset, length) => {
        if (left === 0) throw systemError('ENOSPC')
        const part = Math.min(left, length)
        left -= part
        return file.write(data, offset, part)
      },
    }
  })
}

/** The real file system until `fill` is called, then one with room for so many more bytes. */
export function fillingDisk(): { readonly fileSystem: WritableFileSystem; fill(room: number): void } {
  let current: WritableFileSystem = fs
  return {
    fileSystem: { ...fs, open: (path, flags) => current.open(path, flags) },
    fill: (room) => {
      current = diskWithRoomFor(room)
    },
  }
}
