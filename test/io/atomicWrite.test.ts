import { once } from 'node:events'
import * as fs from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { atomicWrite } from '../../lib/io/atomicWrite.ts'
import { temporaryName } from '../../lib/io/temporaryFiles.ts'
import { IoError } from '../../lib/util/errors.ts'
import { diskWith, diskWithRoomFor, systemError } from '../support/faultyDisk.ts'

let folder: string
beforeEach(async () => {
  folder = await fs.mkdtemp(join(tmpdir(), 'noisewright-atomic-'))
})
afterEach(async () => {
  await fs.rm(folder, { recursive: true, force: true })
})

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
    const short = diskWith((file) => ({
      write: (data, offset, length) => file.write(data, offset, Math.min(3, length)),
    }))
    await atomicWrite(path, 'ten bytes!', { fileSystem: short })
    expect(await fs.readFile(path, 'utf8')).toBe('ten bytes!')
  })

  it.skipIf(process.platform === 'win32')('replaces no device, pipe or socket, through a link neither', async () => {
    const [path, link] = [join(folder, 'socket'), join(folder, 'link')]
    const server = createServer().listen(path)
    await once(server, 'listening')
    await fs.symlink('socket', link)
    for (const name of [path, link])
      await expect(atomicWrite(name, 'x')).rejects.toThrow(`${name}: cannot write a file: this is a device or a pipe`)
    expect((await fs.stat(path)).isSocket()).toBe(true)
    server.close()
  })

  it('leaves the last good file and no temporary file when the disk is full', async () => {
    const path = join(folder, 'model.safetensors')
    await atomicWrite(path, 'the last good file')
    const attempt = atomicWrite(path, 'a longer content', { expectedBytes: 16, fileSystem: diskWithRoomFor(7) })
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
    const noSync = diskWith(() => ({ sync: () => Promise.reject(systemError('EIO')) }))
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

  it('writes pieces larger than one system call takes', async () => {
    const path = join(folder, 'large.bin')
    const bytes = Uint8Array.from({ length: 2 ** 24 + 12345 }, (_, i) => (i * 2654435761) >>> 11)
    expect(await atomicWrite(path, [bytes, bytes.subarray(0, 9)], { expectedBytes: bytes.length + 9 })).toBe(
      bytes.length + 9,
    )
    const found = await fs.readFile(path)
    expect(found.subarray(0, bytes.length).equals(bytes)).toBe(true)
    expect(found.subarray(bytes.length).equals(bytes.subarray(0, 9))).toBe(true)
  })

  it('notices a changed byte, a lost end and an unread one before the file takes its name', async () => {
    const path = join(folder, 'model.safetensors')
    await atomicWrite(path, 'good')
    const flipped = diskWith((file) => ({
      write: (data, offset, length) =>
        file.write(
          Uint8Array.from(data, (x) => x ^ 1),
          offset,
          length,
        ),
    }))
    const lost = diskWith((file) => ({
      write: async (data, offset, length) => {
        await file.write(data, offset, length - 1)
        return { bytesWritten: length }
      },
    }))
    const unread = diskWith(() => ({ read: async () => ({ bytesRead: 0 }) }))
    await expect(atomicWrite(path, 'new', { fileSystem: flipped })).rejects.toThrow(
      /other bytes read back at 0 \(CRC-32 \w{8}/,
    )
    await expect(atomicWrite(path, 'new', { fileSystem: lost })).rejects.toThrow(/wrote 3 bytes, but .* holds 2/)
    await expect(atomicWrite(path, 'new', { fileSystem: unread })).rejects.toThrow(/other bytes read back/)
    expect(await fs.readFile(path, 'utf8')).toBe('good')
    expect(await fs.readdir(folder)).toEqual(['model.safetensors'])
  })

  it('reads all of a small file again, and of a large one the beginning, samples and the end', async () => {
    const path = join(folder, 'large.bin')
    const piece = new Uint8Array(2 ** 22).fill(7)
    let longest = 0
    let read = 0
    const damaging = (damaged: number) =>
      diskWith((file, name) => {
        let position = 0
        return {
          write: (data, offset, length) => {
            const bytes = data.slice(offset, offset + length)
            if (damaged >= position && damaged < position + length) bytes[damaged - position] = 8
            position += length
            return file.write(bytes, 0, length)
          },
          read: async (buffer, offset, length, at) => {
            expect(name).toContain('.tmp')
            read += length
            longest = Math.max(longest, length)
            return file.read(buffer, offset, length, at)
          },
        }
      })
    const expectedBytes = 36 * piece.length
    const write = (damaged: number): Promise<number> =>
      atomicWrite(path, new Array<Uint8Array>(36).fill(piece), { expectedBytes, fileSystem: damaging(damaged) })
    for (const damaged of [0, 2 ** 26 - 1, 2 ** 27, expectedBytes - 1])
      await expect(write(damaged), String(damaged)).rejects.toThrow(/other bytes read back/)
    read = 0
    await write(-1)
    expect(read).toBe(2 ** 26 + 2 * piece.length)
    expect(longest).toBe(2 ** 23)
  })

  it("asks the format's own check about the complete temporary file", async () => {
    const path = join(folder, 'model.safetensors')
    await atomicWrite(path, 'good')
    const seen: string[] = []
    const verify = async (temporary: string): Promise<void> => {
      seen.push(await fs.readFile(temporary, 'utf8'))
      expect(await fs.readFile(path, 'utf8')).toBe('good')
      throw new RangeError('not a header')
    }
    const failure = atomicWrite(path, 'new', { verify })
    await expect(failure).rejects.toThrow(IoError)
    await expect(failure).rejects.toThrow(/does not read back: not a header/)
    expect(seen).toEqual(['new'])
    expect(await fs.readFile(path, 'utf8')).toBe('good')
    expect(await fs.readdir(folder)).toEqual(['model.safetensors'])
  })

  it('refuses what is larger than the free space before it opens anything', async () => {
    const path = join(folder, 'model.safetensors')
    const small = {
      ...fs,
      statfs: async () => ({ blocks: 10, bavail: 3, bsize: 4 }),
      open: () => expect.fail('must not open a file'),
    }
    const error = await atomicWrite(path, 'thirteen byte', { expectedBytes: 13, fileSystem: small }).catch((e) => e)
    expect(error).toBeInstanceOf(IoError)
    expect((error as IoError).space).toEqual({ folder, neededBytes: 13, availableBytes: 12 })
    expect((error as IoError).message).toContain(`${folder} has room for 12 bytes (ENOSPC); nothing was written`)
    expect(await fs.readdir(folder)).toEqual([])
    const silent = { ...fs, statfs: async () => ({ blocks: 0, bavail: 0, bsize: 4096 }) }
    await atomicWrite(path, 'thirteen byte', { expectedBytes: 13, fileSystem: silent })
    const mute = { ...fs, statfs: () => Promise.reject(systemError('ENOSYS')) }
    await atomicWrite(path, 'thirteen byte', { expectedBytes: 13, fileSystem: mute })
    expect(await fs.readFile(path, 'utf8')).toBe('thirteen byte')
  })
})

describe('temporary files that killed processes left', () => {
  /** Above the largest number that Linux and macOS give to a process. */
  const nobody = 4_300_000
  const random = new Uint8Array(6)

  /** Writes such a file, last touched so many hours ago. */
  async function leave(name: string, hoursAgo = 0): Promise<string> {
    await fs.writeFile(join(folder, name), 'half a file')
    const time = new Date(Date.now() - hoursAgo * 3600_000)
    await fs.utimes(join(folder, name), time, time)
    return name
  }
  const elsewhere = (name: string): string => name.replace(/-[0-9a-f]{8}(?=[0-9a-f]{12})/, '-00000000')

  it('are removed by the next write to their folder', async () => {
    await leave(temporaryName(random, nobody))
    await atomicWrite(join(folder, 'a.txt'), 'a')
    expect(await fs.readdir(folder)).toEqual(['a.txt'])
  })

  it('are removed when they are older than this process and carry its number', async () => {
    const own = temporaryName(random)
    await leave(own, 20)
    await atomicWrite(join(folder, 'a.txt'), 'a')
    expect(await fs.readdir(folder)).toEqual(['a.txt'])
  })

  it('stay while their process runs, and other files always', async () => {
    const kept = [
      await leave(temporaryName(random)),
      await leave(temporaryName(random, process.ppid)),
      await leave(elsewhere(temporaryName(random, nobody))),
      await leave('.noisewright-notes.tmp', 100),
      await leave(`.other-${nobody}-00000000000000000000.tmp`, 100),
    ]
    await atomicWrite(join(folder, 'a.txt'), 'a')
    expect((await fs.readdir(folder)).toSorted()).toEqual([...kept, 'a.txt'].toSorted())
  })

  it('are removed after a day when their process ran on another machine', async () => {
    await leave(elsewhere(temporaryName(random, nobody)), 25)
    await atomicWrite(join(folder, 'a.txt'), 'a')
    expect(await fs.readdir(folder)).toEqual(['a.txt'])
  })
})
