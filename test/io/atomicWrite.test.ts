import * as fs from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { atomicWrite, type WritableFile, type WritableFileSystem } from '../../lib/io/atomicWrite.ts'
import { IoError } from '../../lib/util/errors.ts'

let folder: string
beforeEach(async () => {
  folder = await fs.mkdtemp(join(tmpdir(), 'noisewright-atomic-'))
})
afterEach(async () => {
  await fs.rm(folder, { recursive: true, force: true })
})

function systemError(code: string): Error {
  return Object.assign(new Error(`${code}: made by the test`), { code, syscall: 'write' })
}

/** The real file system, except that a file takes no more than `capacity` bytes: a full disk. */
function fullDisk(capacity: number): WritableFileSystem {
  return {
    ...fs,
    open: async (path, flags) => {
      const file = await fs.open(path, flags)
      let left = capacity
      const limited: WritableFile = {
        write: async (data, offset, length) => {
          if (left === 0) throw systemError('ENOSPC')
          const part = Math.min(left, length)
          left -= part
          return file.write(data, offset, part)
        },
        sync: () => file.sync(),
        stat: () => file.stat(),
        close: () => file.close(),
      }
      return limited
    },
  }
}

async function* produce(...pieces: string[]): AsyncGenerator<Uint8Array> {
  for (const piece of pieces) yield new TextEncoder().encode(piece)
}

describe('atomicWrite', () => {
  it('writes text, bytes, arrays of pieces and asynchronous pieces', async () => {
    const path = join(folder, 'file.txt')
    expect(await atomicWrite(path, 'grün')).toBe(5)
    expect(await fs.readFile(path, 'utf8')).toBe('grün')
    await atomicWrite(path, new Uint8Array([65, 66]))
    expect(await fs.readFile(path, 'utf8')).toBe('AB')
    await atomicWrite(path, [new Uint8Array([67]), new Uint8Array(0), new Uint8Array([68])])
    expect(await fs.readFile(path, 'utf8')).toBe('CD')
    await atomicWrite(path, produce('one ', 'two'))
    expect(await fs.readFile(path, 'utf8')).toBe('one two')
    expect(await fs.readdir(folder)).toEqual(['file.txt'])
  })

  it('goes on after a short write', async () => {
    const path = join(folder, 'file.bin')
    const short: WritableFileSystem = {
      ...fs,
      open: async (name, flags) => {
        const file = await fs.open(name, flags)
        return {
          write: (data, offset, length) => file.write(data, offset, Math.min(3, length)),
          sync: () => file.sync(),
          stat: () => file.stat(),
          close: () => file.close(),
        }
      },
    }
    await atomicWrite(path, 'ten bytes!', { fileSystem: short })
    expect(await fs.readFile(path, 'utf8')).toBe('ten bytes!')
  })

  it('leaves the last good file and no temporary file when the disk is full', async () => {
    const path = join(folder, 'model.safetensors')
    await atomicWrite(path, 'the last good file')
    const attempt = atomicWrite(path, 'a longer content', { expectedBytes: 16, fileSystem: fullDisk(7) })
    const error = await attempt.then(
      () => expect.fail('must not succeed'),
      (reason: unknown) => reason,
    )
    expect(error).toBeInstanceOf(IoError)
    expect((error as IoError).exitCode).toBe(5)
    expect((error as IoError).message).toContain('the disk is full')
    expect((error as IoError).message).toContain('a file of 16 bytes')
    expect((error as IoError).message).toContain('7 bytes had been written')
    expect(await fs.readFile(path, 'utf8')).toBe('the last good file')
    expect(await fs.readdir(folder)).toEqual(['model.safetensors'])
  })

  it('leaves the last good file when the flush, the rename or the producer fails', async () => {
    const path = join(folder, 'model.safetensors')
    await atomicWrite(path, 'good')
    const noRename = { ...fs, rename: () => Promise.reject(systemError('EACCES')) }
    await expect(atomicWrite(path, 'new', { fileSystem: noRename })).rejects.toThrow(/permission denied/)
    const noSync: WritableFileSystem = {
      ...fs,
      open: async (name, flags) => {
        const file = await fs.open(name, flags)
        const write: WritableFile['write'] = (data, offset, length) => file.write(data, offset, length)
        const sync = (): Promise<void> => Promise.reject(systemError('EIO'))
        return { write, sync, stat: () => file.stat(), close: () => file.close() }
      },
    }
    await expect(atomicWrite(path, 'new', { fileSystem: noSync })).rejects.toThrow(/input\/output error/)
    async function* broken(): AsyncGenerator<Uint8Array> {
      yield new Uint8Array(8)
      throw new RangeError('the producer failed')
    }
    await expect(atomicWrite(path, broken())).rejects.toThrow(new RangeError('the producer failed'))
    expect(await fs.readFile(path, 'utf8')).toBe('good')
    expect(await fs.readdir(folder)).toEqual(['model.safetensors'])
  })

  it('refuses content of another size than announced', async () => {
    const path = join(folder, 'file.bin')
    await expect(atomicWrite(path, 'four', { expectedBytes: 5 })).rejects.toThrow(/5 bytes were announced, but 4/)
    expect(await fs.readdir(folder)).toEqual([])
  })

  it('refuses a folder, a missing folder and a file used as a folder, each by name', async () => {
    await fs.mkdir(join(folder, 'taken'))
    await fs.writeFile(join(folder, 'plain'), '')
    await expect(atomicWrite(join(folder, 'taken'), 'x')).rejects.toThrow(/there is a folder of that name/)
    await expect(atomicWrite(join(folder, 'missing', 'x'), 'x')).rejects.toThrow(/no such file or folder/)
    await expect(atomicWrite(join(folder, 'plain', 'x'), 'x')).rejects.toThrow(/a file where a folder was expected/)
    await expect(atomicWrite(join(folder, 'x'.repeat(300)), 'x')).rejects.toThrow(/name is too long/)
    expect((await fs.readdir(folder)).sort()).toEqual(['plain', 'taken'])
  })

  it('replaces the file behind a symbolic link, not the link', async () => {
    const link = join(folder, 'latest')
    await fs.writeFile(join(folder, 'real'), 'old')
    await fs.symlink('real', link)
    await atomicWrite(link, 'new')
    expect((await fs.lstat(link)).isSymbolicLink()).toBe(true)
    expect(await fs.readFile(join(folder, 'real'), 'utf8')).toBe('new')
  })
})
