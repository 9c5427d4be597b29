import { readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { atomicFolder } from '../../lib/io/atomicFolder.ts'
import { recoverFolder } from '../../lib/io/replacedFolders.ts'
import { temporaryName } from '../../lib/io/temporaryFiles.ts'
import { IoError } from '../../lib/util/errors.ts'
import { addFiles, makeFolder } from '../support/pictures.ts'

const marker = { marker: 'index' }
/** A name that a process took which does not run: process numbers end below it. */
const ofKilled = (kind: 'tmp' | 'old'): string => temporaryName(new Uint8Array(6), 2 ** 22 + 1).replace('tmp', kind)
const fill = (text: string) => async (folder: string) => addFiles(folder, { index: text, 'part/data': text })

describe('a folder written atomically', () => {
  it('is made with the folders above it', async () => {
    const path = join(await makeFolder(), 'a', 'b')
    await atomicFolder(path, fill('new'), marker)
    expect(await readFile(join(path, 'part', 'data'), 'utf8')).toBe('new')
    expect(await readdir(join(path, '..'))).toEqual(['b'])
  })

  it('does not show before it is whole', async () => {
    const parent = await makeFolder({ 'm/index': 'old' })
    await atomicFolder(
      join(parent, 'm'),
      async (folder) => {
        await fill('new')(folder)
        expect(await readFile(join(parent, 'm', 'index'), 'utf8')).toBe('old')
      },
      marker,
    )
    expect(await readFile(join(parent, 'm', 'index'), 'utf8')).toBe('new')
  })

  it('stays as it was when the writer fails', async () => {
    const parent = await makeFolder({ 'm/index': 'old', 'm/part/old': 'old' })
    const writer = async (folder: string): Promise<void> => {
      await writeFile(join(folder, 'index'), 'half')
      throw new RangeError('no more')
    }
    await expect(atomicFolder(join(parent, 'm'), writer, marker)).rejects.toThrow(RangeError)
    expect(await readdir(parent)).toEqual(['m'])
    expect((await readdir(join(parent, 'm'))).sort()).toEqual(['index', 'part'])
  })

  it('is not kept company by what a killed process left', async () => {
    const parent = await makeFolder({ 'm/index': 'old', [`${ofKilled('tmp')}/index`]: 'half' })
    await atomicFolder(join(parent, 'm'), fill('new'), marker)
    expect(await readdir(parent)).toEqual(['m'])
  })

  it('comes back when the new one cannot take its name', async () => {
    const parent = await makeFolder({ 'm/index': 'old' })
    const writer = async (folder: string): Promise<void> => {
      // Somebody removes the new folder between writing and renaming.
      await fill('new')(folder)
      await rm(folder, { recursive: true })
    }
    await expect(atomicFolder(join(parent, 'm'), writer, marker)).rejects.toThrow(IoError)
    expect(await readdir(parent)).toEqual(['m'])
    expect(await readFile(join(parent, 'm', 'index'), 'utf8')).toBe('old')
  })

  it.each([
    ['before it is read', (path: string) => recoverFolder(path)],
    ['before its neighbour is written', (path: string) => atomicFolder(join(path, '..', 'n'), fill('new'), marker)],
  ])('comes back %s when a process was killed between its two renames', async (_when, act) => {
    const parent = await makeFolder({
      [`${ofKilled('old')}/m/index`]: 'old',
      [`${ofKilled('old')}/m/part/data`]: 'old',
    })
    await act(join(parent, 'm'))
    expect((await readdir(parent)).filter((name) => name !== 'n')).toEqual(['m'])
    expect(await readFile(join(parent, 'm', 'part', 'data'), 'utf8')).toBe('old')
  })

  it('comes back and is replaced when a process was killed between its two renames', async () => {
    const parent = await makeFolder({ [`${ofKilled('old')}/m/index`]: 'old', [`${ofKilled('old')}/m/README`]: 'mine' })
    await atomicFolder(join(parent, 'm'), fill('new'), marker)
    expect(await readdir(parent)).toEqual(['m'])
    expect(await readFile(join(parent, 'm', 'index'), 'utf8')).toBe('new')
    expect(await readFile(join(parent, 'm', 'README'), 'utf8')).toBe('mine')
  })

  it('is removed by the next write when a process was killed after the new one had its name', async () => {
    const aside = ofKilled('old')
    const parent = await makeFolder({ 'm/index': 'new', [`${aside}/m/index`]: 'old', [`${aside}/m/README`]: 'mine' })
    await recoverFolder(join(parent, 'm'))
    expect((await readdir(parent)).sort()).toEqual([aside, 'm'])
    await atomicFolder(join(parent, 'n'), fill('new'), marker)
    expect((await readdir(parent)).sort()).toEqual(['m', 'n'])
    expect(await readFile(join(parent, 'm', 'index'), 'utf8')).toBe('new')
    expect(await readFile(join(parent, 'm', 'README'), 'utf8')).toBe('mine')
  })

  it('stays aside as long as the process runs that put it there', async () => {
    const aside = temporaryName(new Uint8Array(6)).replace('tmp', 'old')
    const parent = await makeFolder({ [`${aside}/m/index`]: 'old' })
    await recoverFolder(join(parent, 'm'))
    expect(await readdir(parent)).toEqual([aside])
  })

  it('replaces an empty folder, and no other without the marker', async () => {
    const parent = await makeFolder({ 'mine/letter': 'dear', 'empty/x': '' })
    await rm(join(parent, 'empty', 'x'))
    await atomicFolder(join(parent, 'empty'), fill('new'), marker)
    await expect(atomicFolder(join(parent, 'mine'), fill('new'), marker)).rejects.toThrow('holds something else')
    expect(await readdir(join(parent, 'mine'))).toEqual(['letter'])
  })

  it('says what the system refused', async () => {
    const parent = await makeFolder({ file: '' })
    const error = await atomicFolder(join(parent, 'file', 'm'), fill('new'), marker).catch((e: unknown) => e)
    expect(error).toBeInstanceOf(IoError)
    expect((error as IoError).message).toContain('ENOTDIR')
  })
})
