import { describe, expect, it } from 'vitest'
import { withMasks } from '../../lib/data/maskFolder.ts'
import type { ScannedImage } from '../../lib/data/scan.ts'
import { encodePicture, makeFolder } from '../support/pictures.ts'

const image = (path: string, width = 20, height = 12): ScannedImage => ({
  path,
  size: { width, height },
  orientation: 1,
  caption: { text: '', file: undefined },
})

describe('masks in a folder', () => {
  it('belong to the pictures of their names, whatever their format', async () => {
    const folder = await makeFolder({ 'a.png': [20, 12], 'b.c.jpg': [8, 8] })
    const pictures = [image('x/a.webp'), image('x/b.c.png', 8, 8)]
    expect(await withMasks({ conditioningDataDir: folder }, pictures, {})).toEqual({
      images: [
        { ...pictures[0], mask: `${folder}/a.png` },
        { ...pictures[1], mask: `${folder}/b.c.jpg` },
      ],
      errors: [],
      warnings: [],
    })
  })

  it('are not looked for where there is no folder', async () => {
    const pictures = [image('x/a.png')]
    expect(await withMasks({ conditioningDataDir: undefined }, pictures, {})).toEqual({
      images: pictures,
      errors: [],
      warnings: [],
    })
  })

  it('that are missing are named by their pictures, in one error of the folder', async () => {
    const folder = await makeFolder({ 'a.png': [20, 12] })
    const { errors } = await withMasks(
      { conditioningDataDir: folder },
      ['c', 'a', 'b'].map((name) => image(`x/${name}.png`)),
      {},
    )
    expect(errors.map(({ message }) => message)).toEqual([
      `${folder}: 2 of 3 pictures have no mask of the same name here: x/b.png, x/c.png. Add the masks, or leave conditioning_data_dir out`,
    ])
  })

  it('that cannot be read, are cut short or of another size are errors, each of its file', async () => {
    const cut = (await encodePicture('.png', 20, 12)).subarray(0, 500)
    const folder = await makeFolder({ 'a.png': 'no picture', 'b.png': cut, 'c.png': [12, 20], 'd.png': [20, 12] })
    const pictures = ['a', 'b', 'c', 'd'].map((name) => image(`x/${name}.png`))
    const { errors } = await withMasks({ conditioningDataDir: folder }, pictures, {})
    expect(errors.map(({ message }) => message).toSorted()).toEqual([
      expect.stringMatching(/a\.png: not a PNG/),
      expect.stringMatching(/b\.png: the PNG image is damaged or cut short/),
      `${folder}/c.png: the mask is 12x20 but its picture x/c.png is 20x12: make them of one size`,
    ])
  })

  it('of no picture, or one of two of a name, are remarked on', async () => {
    const folder = await makeFolder({ 'a.jpg': [20, 12], 'a.png': [20, 12], 'b.png': [20, 12] })
    const { images, warnings } = await withMasks({ conditioningDataDir: folder }, [image('x/a.png')], {})
    expect(images[0]!.mask).toBe(`${folder}/a.jpg`)
    expect(warnings).toEqual([
      `${folder}: masks that are not used, since there is another of the name: ${folder}/a.png`,
      `${folder}: masks of no picture in use: ${folder}/b.png`,
    ])
  })

  it('must be in a folder that exists', async () => {
    const { errors } = await withMasks({ conditioningDataDir: '/no/such/folder' }, [image('x/a.png')], {})
    expect(errors.map(({ message }) => message)).toEqual(['/no/such/folder: the folder does not exist: check the path'])
  })
})
