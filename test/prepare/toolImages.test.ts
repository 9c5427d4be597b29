import { symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { listToolImages, tidyPath } from '../../lib/prepare/toolImages.ts'
import { DataError } from '../../lib/util/errors.ts'
import { makeFolder } from '../support/pictures.ts'

describe('listToolImages', () => {
  it('finds extensions in any case and hidden files, in the order of the parts of paths', async () => {
    const names = [
      'b.PNG',
      'a.JpG',
      '.c.webp',
      'a/z.avif',
      'a/y/x.bmp',
      'notes.txt',
      'a-b/q.jpeg',
      '.png',
      'png',
      'a.b.png',
    ]
    const folder = await makeFolder(Object.fromEntries(names.map((name) => [name, 'x'])))
    await makeLinks(folder)
    const flat = await listToolImages(folder)
    expect(flat.map(({ path }) => path.slice(folder.length + 1))).toEqual([
      '.c.webp',
      '.png',
      'a.JpG',
      'a.b.png',
      'b.PNG',
      'broken.png',
      'linked.png',
    ])
    const deep = await listToolImages(`${folder}/./`, { recursive: true })
    expect(deep.map(({ path }) => path.slice(folder.length + 1))).toEqual([
      '.c.webp',
      '.png',
      'a/y/x.bmp',
      'a/z.avif',
      'a-b/q.jpeg',
      'a.JpG',
      'a.b.png',
      'b.PNG',
      'broken.png',
      'linked.png',
    ])
    expect(flat[1]).toEqual({ path: `${folder}/.png`, base: `${folder}/.png`, stem: '.png' })
    expect(flat[3]).toEqual({ path: `${folder}/a.b.png`, base: `${folder}/a.b`, stem: 'a.b' })
  })

  it('refuses a folder that is not there', async () => {
    await expect(listToolImages(join(await makeFolder(), 'none'))).rejects.toThrow(DataError)
  })
})

/** A link to a picture, one to nothing, and one to a folder, into which nobody goes. */
async function makeLinks(folder: string): Promise<void> {
  const other = await makeFolder({ 'other.png': 'x' })
  await symlink(join(other, 'other.png'), join(folder, 'linked.png'))
  await symlink(join(other, 'gone.png'), join(folder, 'broken.png'))
  await symlink(other, join(folder, 'folder.png'))
  await writeFile(join(other, 'more.png'), 'x')
}

describe('tidyPath', () => {
  it.each([
    ['', '.'],
    ['.', '.'],
    ['./a//b/./c/', 'a/b/c'],
    ['../a/..', '../a/..'],
    ['/', '/'],
    ['//a', '//a'],
    ['///a/', '/a'],
  ])('gives %j the form of pathlib: %j', (text, tidy) => {
    expect(tidyPath(text)).toBe(tidy)
  })
})
