import { mkdir, symlink } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { expect, it } from 'vitest'
import { compareCodePoints, isImageName, listImages } from '../../lib/data/imageFolder.ts'
import { DataError } from '../../lib/util/errors.ts'
import { makeFolder } from '../support/pictures.ts'

it('accepts the known extensions in any letter case, and no hidden files', () => {
  const names = ['a.png', 'a.PNG', 'a.Jpg', 'a.JPEG', 'a.webp', 'a.BMP', 'a.b.png', 'a.aViF']
  expect(names.filter(isImageName)).toEqual(names)
  expect(['a.gif', '.a.png', '._a.png', '.png', 'png', 'a.png.txt', 'a'].filter(isImageName)).toEqual([])
})

it('lists files directly inside, as the folder was written, in code point order', async () => {
  const folder = await makeFolder({
    'b.png': '',
    'B.png': '',
    'a10.png': '',
    'a2.png': '',
    'ä.png': '',
    'sub/x.png': '',
    'n.txt': '',
  })
  await mkdir(join(folder, 'dir.png'))
  await symlink(join(folder, 'b.png'), join(folder, 'link.png'))
  const expected = ['B.png', 'a10.png', 'a2.png', 'b.png', 'link.png', 'ä.png']
  expect(await listImages(folder)).toEqual(expected.map((name) => `${folder}/${name}`))
  expect((await listImages(`${folder}/`)).map((path) => basename(path))).toEqual(expected)
  expect((await listImages(`${folder}/`))[0]).toBe(`${folder}/B.png`)
})

it('orders by code point, not by UTF-16 unit', () => {
  expect(['\u{1f438}', '\uff5e', 'z'].sort(compareCodePoints)).toEqual(['z', '\uff5e', '\u{1f438}'])
})

it('rejects a missing folder and a file in its place', async () => {
  const folder = await makeFolder({ 'a.png': '' })
  await expect(listImages(join(folder, 'none'))).rejects.toThrow(/none: the folder does not exist: check the path/)
  await expect(listImages('none')).rejects.toThrow(
    `none: the folder does not exist (looked for from ${process.cwd()}): check the path`,
  )
  await expect(listImages(join(folder, 'a.png'))).rejects.toThrow('this is a file, a folder was expected')
  await expect(listImages(join(folder, 'none'))).rejects.toBeInstanceOf(DataError)
})
