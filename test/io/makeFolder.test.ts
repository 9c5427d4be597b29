import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { makeFolder } from '../../lib/io/makeFolder.ts'
import { IoError } from '../../lib/util/errors.ts'
import { systemError } from '../support/faultyDisk.ts'
import { makeFolder as makeTestFolder } from '../support/pictures.ts'

describe('makeFolder', () => {
  it('makes a folder and those above it, once or again', async () => {
    const path = join(await makeTestFolder(), 'a/b/c')
    await makeFolder(path)
    await makeFolder(path)
    expect((await stat(path)).isDirectory()).toBe(true)
  })

  it('tells why the system refuses where Node says that there is no such folder, as on a read-only disk', async () => {
    const folder = await makeTestFolder()
    const asked: string[] = []
    const readOnly = {
      stat,
      mkdir: async (path: string, options?: { readonly recursive: true }) => {
        asked.push(path)
        throw systemError(options?.recursive ? 'ENOENT' : 'EROFS')
      },
    }
    const error = await makeFolder(join(folder, 'a/b'), readOnly).catch((reason: unknown) => reason)
    expect(error).toBeInstanceOf(IoError)
    expect((error as IoError).message).toBe(
      `${join(folder, 'a/b')}: cannot create the folder: the file system is read-only; choose another folder (EROFS)`,
    )
    expect(asked).toEqual([join(folder, 'a/b'), join(folder, 'a')])
  })

  it('names a file in the way', async () => {
    const folder = await makeTestFolder({ file: 'text' })
    await expect(makeFolder(join(folder, 'file/a'))).rejects.toThrow(/a part of the path is a file/)
  })
})
