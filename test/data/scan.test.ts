import { readdir, readFile, rename, unlink, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeEach, describe, expect, it } from 'vitest'
import { type DatasetGroupConfig, type DreamBoothSubset, loadDatasetConfig } from '../../lib/config/datasetConfig.ts'
import { type ScanOptions, type SubsetScan, scanSubset } from '../../lib/data/scan.ts'
import { defaultScanCacheFolder } from '../../lib/data/scanCache.ts'
import { loadFixture } from '../support/fixtureCases.ts'
import { addFiles, encodePicture, makeFolder } from '../support/pictures.ts'

const { cases } = loadFixture<{ readonly cases: readonly { readonly name: string; readonly file: string }[] }>(
  'images/pictures.json',
)
const picture = (name: string): Buffer => Buffer.from(cases.find((each) => each.name === name)!.file, 'base64')

async function subsetOf(imageDir: string): Promise<DreamBoothSubset> {
  const folder = await makeFolder({
    'data.toml': `[[datasets]]\nresolution = 64\n[[datasets.subsets]]\nimage_dir = '${imageDir}'\ncaption_extension = '.txt'\n`,
  })
  const config: DatasetGroupConfig = await loadDatasetConfig(join(folder, 'data.toml'), {
    fallbacks: {},
    sizeMultiple: 8,
  })
  const subset = config.datasets[0]!.subsets[0]!
  if (subset.kind !== 'dreambooth') throw new Error('expected a folder of pictures')
  return subset
}

async function scan(imageDir: string, options: ScanOptions = {}): Promise<SubsetScan> {
  return scanSubset(await subsetOf(imageDir), { scanCache: false, ...options })
}

describe('scanSubset', () => {
  it('gives sizes as pictures are turned, unless EXIF is ignored', async () => {
    const folder = await makeFolder({ 'a.jpg': picture('o6.jpg'), 'b.avif': picture('o8.avif'), 'c.png': [20, 12] })
    const { subset } = await scan(folder)
    expect(subset?.images.map(({ size, orientation }) => [size.width, size.height, orientation])).toEqual([
      [12, 20, 6],
      [12, 20, 8],
      [20, 12, 1],
    ])
    const { subset: stored } = await scan(folder, { ignoreExif: true })
    expect(stored?.images.map(({ size, orientation }) => [size.width, size.height, orientation])).toEqual([
      [20, 12, 1],
      [12, 20, 8],
      [20, 12, 1],
    ])
  })

  it('refuses pictures beyond the limit of pixels', async () => {
    const { errors } = await scan(await makeFolder({ 'a.png': [20, 12], 'b.png': [10, 12] }), { maxPixels: 239 })
    expect(errors.map(({ message }) => message)).toEqual([expect.stringMatching(/a\.png: .*more than 239 pixels/)])
  })

  it('leaves unreadable pictures out when asked to, with a warning that names five and counts the others', async () => {
    const bad = Object.fromEntries(Array.from({ length: 7 }, (_, i) => [`bad${i}.png`, 'no picture']))
    const cut = (await encodePicture('.png', 32, 32)).subarray(0, 900)
    const folder = await makeFolder({ ...bad, 'a.png': [8, 8], 'a.txt': 'a', 'cut.png': cut })
    const failing = await scan(folder)
    expect(failing.errors).toHaveLength(8)
    const { subset, errors, warnings } = await scan(folder, { onBadImage: 'skip' })
    expect(errors).toEqual([])
    expect(subset?.images.map(({ path }) => path)).toEqual([`${folder}/a.png`])
    expect(warnings).toHaveLength(1)
    // On one line: terminals show a line break within a remark as an escape.
    expect(warnings[0]).not.toContain('\n')
    const [start, ...named] = warnings[0]!.split(`${folder}/`)
    expect(start).toBe(`${folder}: 8 of 9 pictures cannot be read and are left out: `)
    expect(named[0]).toMatch(/^bad0\.png: not a PNG, JPEG, WebP, BMP or AVIF image/)
    expect(named).toHaveLength(5)
    expect(named[4]).toMatch(/, and 3 more$/)
  })

  it('tells which extension would make captions of files that are there', async () => {
    const files = {
      'a.png': [8, 8],
      'a.tags': '',
      'b.png': [8, 8],
      'b.tags': '',
      'c.png': [8, 8],
      'c.cap': '',
    } as const
    const { warnings } = await scan(
      await makeFolder({ ...files, 'd.txt': 'of no picture', 'e.png': [8, 8], 'e.txt': 'e' }),
    )
    expect(warnings).toEqual([
      expect.stringMatching(
        /3 of 4 pictures have no caption file and use the empty caption: \S+, \S+, \S+\. There are 2 files of these names with \.tags: set caption_extension to "\.tags" if they are the captions$/,
      ),
    ])
  })

  it('lists pictures that would have the empty caption as an error when asked to, but none with class_tokens', async () => {
    const folder = await makeFolder({
      'a.png': [8, 8],
      'a.txt': 'a',
      'b.png': [8, 8],
      'c.png': [8, 8],
      'c.caption': 'c',
    })
    const options = { scanCache: false, onMissingCaption: 'error' } as const
    const subset = await subsetOf(folder)
    const strict = await scanSubset(subset, options)
    expect(strict.errors.map(({ message }) => message)).toEqual([
      expect.stringMatching(
        /^\S+: 2 of 3 pictures have no caption file and use the empty caption: \S+b\.png, \S+c\.png\. There are 1 files .*\. Write their captions, give class_tokens, or train with empty captions \(--on_missing_caption warn\)$/,
      ),
    ])
    expect(strict.warnings).toEqual([])
    const named = await scanSubset({ ...subset, classTokens: '' }, options)
    expect(named.errors).toEqual([])
    expect(named.warnings).toEqual([
      expect.stringContaining('2 of 3 pictures have no caption file and use class_tokens ""'),
    ])
  })

  it('leaves the subset out when no picture can be read', async () => {
    const folder = await makeFolder({ 'a.png': 'no picture' })
    const { subset, emptyFolder, warnings } = await scan(folder, { onBadImage: 'skip' })
    expect(subset).toBeUndefined()
    expect(emptyFolder?.message).toContain('none of the pictures in this folder can be read: ')
    expect(warnings[0]).toContain('The subset is left out.')
  })

  it('does not leave out a picture for its caption', async () => {
    const folder = await makeFolder({ 'a.png': [8, 8], 'a.txt': '', 'b.png': [8, 8] })
    const { errors } = await scan(folder, { onBadImage: 'skip' })
    expect(errors.map(({ message }) => message)).toEqual([expect.stringContaining('the caption file is empty')])
  })
})

/** The entries of a file of notes; their order is that in which files were read. */
function entriesOf(notes: Buffer): string[] {
  const lines = notes.toString('utf8').trimEnd().split('\n').slice(1)
  return lines.flatMap((line) => (JSON.parse(line) as unknown[]).map((entry) => JSON.stringify(entry))).sort()
}

describe('notes about a large folder', () => {
  let folder: string
  let scanCache: string
  const long = new Date(Date.now() - 3_600_000)
  const age = (name: string): Promise<void> => utimes(join(folder, name), long, long)

  beforeEach(async () => {
    const bytes = await encodePicture('.png', 8, 6)
    const names = Array.from({ length: 200 }, (_, i) => `p${i}`)
    folder = await makeFolder(
      Object.fromEntries(
        names.flatMap((name) => [
          [`${name}.png`, bytes],
          [`${name}.txt`, name],
        ]),
      ),
    )
    await addFiles(folder, { 'turned.jpg': picture('o6.jpg'), 'turned.txt': '\ufeffwith a mark\nsecond line' })
    for (const name of await readdir(folder)) await age(name)
    scanCache = join(await makeFolder(), 'notes', 'scan')
  })

  it('give the same pictures and captions without opening a file', async () => {
    const first = await scan(folder, { scanCache })
    const notes = await readdir(scanCache)
    expect(notes).toEqual([expect.stringMatching(/^[0-9a-f]{32}\.jsonl$/)])
    const before = await readFile(join(scanCache, notes[0]!))
    // Were a file opened, its content would be found to be no picture.
    for (const name of await readdir(folder)) {
      const { length } = await readFile(join(folder, name))
      await writeFile(join(folder, name), Buffer.alloc(length, 0x2d))
      await age(name)
    }
    expect(await scan(folder, { scanCache })).toEqual(first)
    expect(await readFile(join(scanCache, notes[0]!))).toEqual(before)
    expect(first.subset?.images.at(-1)).toMatchObject({
      size: { width: 12, height: 20 },
      caption: { text: 'with a mark' },
    })
    expect((await scan(folder, { scanCache, ignoreExif: true })).subset?.images.at(-1)).toMatchObject({
      size: { width: 20, height: 12 },
      orientation: 1,
    })
    expect((await scan(folder, { scanCache, maxPixels: 100 })).errors).toHaveLength(1)
    expect((await scan(folder)).errors).toHaveLength(201)
  })

  it('hold only for files of the same size and time', async () => {
    await scan(folder, { scanCache })
    await addFiles(folder, { 'p3.png': [16, 8], 'p4.txt': 'changed', 'p201.png': [24, 8], 'p5.txt': 'q5' })
    await unlink(join(folder, 'p6.txt'))
    await unlink(join(folder, 'p7.png'))
    await rename(join(folder, 'p8.txt'), join(folder, 'p201.txt'))
    const after = await scan(folder, { scanCache })
    expect(after).toEqual(await scan(folder))
    const of = (name: string): unknown => after.subset?.images.find(({ path }) => path === `${folder}/${name}.png`)
    expect(of('p3')).toMatchObject({ size: { width: 16 } })
    expect(of('p4')).toMatchObject({ caption: { text: 'changed' } })
    expect(of('p5')).toMatchObject({ caption: { text: 'q5' } })
    expect(of('p6')).toMatchObject({ caption: { file: undefined } })
    expect(of('p7')).toBeUndefined()
    expect(of('p201')).toMatchObject({ size: { width: 24 }, caption: { text: 'p8' } })
    expect(after.warnings[0]).toContain('2 of 201 pictures have no caption file')
    expect(await readFile(join(scanCache, (await readdir(scanCache))[0]!), 'utf8')).not.toContain('"p7.png"')
  })

  it('are not taken of files that changed a moment ago', async () => {
    const now = new Date()
    await utimes(join(folder, 'p3.png'), now, now)
    await scan(folder, { scanCache })
    const text = await readFile(join(scanCache, (await readdir(scanCache))[0]!), 'utf8')
    expect(text).toContain('"p2.png"')
    expect(text).not.toContain('"p3.png"')
  })

  it('are not taken of pictures that cannot be read', async () => {
    await addFiles(folder, { 'bad.png': 'no picture' })
    await age('bad.png')
    for (let i = 0; i < 2; i++) expect((await scan(folder, { scanCache })).errors).toHaveLength(1)
    expect((await scan(folder, { scanCache, onBadImage: 'skip' })).subset?.images).toHaveLength(201)
  })

  it.each([
    ['cut short', (bytes: Buffer) => bytes.subarray(0, bytes.length - 100)],
    [
      'with a changed byte',
      (bytes: Buffer) => Buffer.from(bytes.toString('latin1').replace('"png",8', '"png",9'), 'latin1'),
    ],
    ['that are something else', () => Buffer.from('something else')],
    ['that are empty', () => Buffer.alloc(0)],
  ])('%s are made anew, with a warning', async (_, damage) => {
    const first = await scan(folder, { scanCache })
    const file = join(scanCache, (await readdir(scanCache))[0]!)
    const whole = await readFile(file)
    await writeFile(file, damage(whole))
    const second = await scan(folder, { scanCache })
    expect(second.subset).toEqual(first.subset)
    expect(second.warnings).toEqual([
      expect.stringContaining('cannot be used (the file is damaged): they are made anew'),
      ...first.warnings,
    ])
    expect(entriesOf(await readFile(file))).toEqual(entriesOf(whole))
  })

  it('of another release are replaced without a word', async () => {
    const first = await scan(folder, { scanCache })
    const file = join(scanCache, (await readdir(scanCache))[0]!)
    const whole = await readFile(file, 'utf8')
    await writeFile(file, whole.replace('"layout":1', '"layout":999'))
    expect(await scan(folder, { scanCache })).toEqual(first)
    expect(entriesOf(await readFile(file))).toEqual(entriesOf(Buffer.from(whole)))
  })

  it('that cannot be written are a warning', async () => {
    const inTheWay = join(await makeFolder({ file: '' }), 'file')
    const { subset, warnings } = await scan(folder, { scanCache: join(inTheWay, 'scan') })
    expect(subset?.images).toHaveLength(201)
    expect(warnings[0]).toMatch(/cannot be kept .*: the next start will look at every file again/)
  })

  it('are not taken of small folders, nor when switched off', async () => {
    await unlink(join(folder, 'turned.jpg'))
    await unlink(join(folder, 'p0.png'))
    await scan(folder, { scanCache })
    await scan(folder, { scanCache: false })
    await expect(readdir(scanCache)).rejects.toThrow('ENOENT')
  })

  it('are kept where the system keeps caches', () => {
    expect(defaultScanCacheFolder({ XDG_CACHE_HOME: '/caches' })).toBe(join('/caches', 'noisewright', 'scan'))
    expect(defaultScanCacheFolder({})).toMatch(/noisewright.scan$/)
  })
})
