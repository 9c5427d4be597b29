import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import sharp from 'sharp'
import { describe, expect, it } from 'vitest'
import { resolveDatasetConfig } from '../../lib/config/datasetConfig.ts'
import { loadDatasetGroup } from '../../lib/data/datasetGroup.ts'
import { DatasetView } from '../../lib/debugDataset/datasetView.ts'
import { writeDatasetHtml } from '../../lib/debugDataset/htmlFile.ts'
import type { PageData } from '../../lib/debugDataset/page.ts'
import { type Look, readLook, similarPairs } from '../../lib/debugDataset/similarPictures.ts'
import { loadClipTokenizer } from '../../lib/models/clip/tokenizer.ts'
import { PhiloxStream } from '../../lib/util/philox.ts'
import { encodeBmp, encodePicture, makeFolder, noisePixels } from '../support/pictures.ts'

/** Large soft shapes; other ones for another seed. */
async function scene(seed: number): Promise<Buffer> {
  const pixels = noisePixels(7 + seed, 5)
  const image = sharp(pixels, { raw: { width: 7 + seed, height: 5, channels: 3 } })
  return image.resize(320, 240, { fit: 'fill', kernel: 'cubic' }).png().toBuffer()
}

describe('similarPairs', () => {
  it('finds copies in another size, format or quality, and nothing else', async () => {
    const [one, other] = await Promise.all([scene(0), scene(1)])
    const small = await sharp(one).resize(100, 75, { fit: 'fill' }).raw().toBuffer()
    const files = {
      'a.png': one,
      'b.jpg': await sharp(one).jpeg({ quality: 30 }).toBuffer(),
      'c.webp': await sharp(one).resize(160, 120).webp({ quality: 60 }).toBuffer(),
      'd.png': other,
      'e.png': await sharp(one).flop().png().toBuffer(),
      'f.png': await sharp(one).resize(320, 160, { fit: 'fill' }).png().toBuffer(),
      'g.bmp': encodeBmp(small, 100, 75),
      'h.jpg': await sharp(one).rotate(90).withMetadata({ orientation: 8 }).jpeg().toBuffer(),
    }
    const folder = await makeFolder(files)
    const names = Object.keys(files)
    const found = async (ignoreExif: boolean): Promise<string[]> => {
      const looks = await Promise.all(names.map((name) => readLook(join(folder, name), { ignoreExif })))
      return similarPairs(looks).map(([a, b]) => names[a]![0]! + names[b]![0]!)
    }
    expect(await found(false)).toEqual(['ab', 'ac', 'ag', 'ah', 'bc', 'bg', 'bh', 'cg', 'ch', 'gh'])
    expect(await found(true)).toEqual(['ab', 'ac', 'ag', 'bc', 'bg', 'cg'])
  })

  it('finds the look-alikes among many without comparing all', () => {
    const random = new PhiloxStream(1n, 'looks', 0, 0)
    const look = (hash: Uint16Array): Look => ({ ratio: 1, grey: new Uint8Array(81), hash })
    const looks = Array.from({ length: 20_000 }, () =>
      look(Uint16Array.from({ length: 8 }, () => random.integer(1 << 16))),
    )
    const turned = (at: number, bits: number): Look => {
      const hash = looks[at]!.hash.slice()
      for (let bit = 0; bit < bits; bit++) hash[bit]! ^= 1 << bit
      return look(hash)
    }
    const at = looks.push(turned(5, 7), turned(6, 8)) - 2
    expect(similarPairs(looks)).toEqual([[5, at]])
    // All with one word in common: too many to tell anything by it.
    for (const { hash } of looks) hash[0] = 0
    expect(similarPairs(looks)).toEqual([[5, at]])
  })
})

it('a damaged picture is crossed out and pointed out, and look-alikes are named', async () => {
  const damaged = await encodePicture('.png', 64, 64)
  damaged[damaged.length >> 1]! ^= 0xff
  const one = await scene(0)
  const copy = await sharp(one).jpeg({ quality: 60 }).toBuffer()
  const folder = await makeFolder({ 'a.png': one, 'b.jpg': copy, 'c.png': damaged })
  const config = await resolveDatasetConfig({ datasets: [{ resolution: 64, subsets: [{ image_dir: folder }] }] })
  const group = await loadDatasetGroup({ config }, { seed: 1, cacheLatents: true })
  const view = await DatasetView.open(group, { tokenizer: await loadClipTokenizer({ variant: 'sd1' }) })
  const items = [0, 1, 2].map((index) => view.batch(1, index).items[0]!)
  const remarks = (name: string): string => items.find(({ path }) => path.endsWith(name))!.remarks.join()
  expect(remarks('a.png')).toBe(`looks like ${folder}/b.jpg`)
  expect(remarks('b.jpg')).toBe(`looks like ${folder}/a.png`)
  expect(remarks('c.png')).toContain('cannot be decoded')
  expect(view.summary.warnings).toContain('1 of 3 pictures cannot be decoded')
  expect(view.summary.warnings).toContain('2 of 3 pictures look like another one')
  const page = join(folder, 'page.html')
  await writeDatasetHtml(page, view)
  const json = /<script id="data" type="application\/json">(.*?)<\/script>/s.exec(await readFile(page, 'utf8'))![1]!
  const { batches } = JSON.parse(json) as PageData
  const shown = batches!.find((batch) => batch.items[0]!.path.endsWith('c.png'))!.pictures[0]!
  const { data, info } = await sharp(Buffer.from(shown.trained.split(',')[1]!, 'base64'))
    .raw()
    .toBuffer({ resolveWithObject: true })
  expect(info).toMatchObject({ width: 64, height: 64 })
  expect([...data.subarray(0, 6)]).toEqual([224, 48, 48, 64, 64, 64])
  expect(await sharp(Buffer.from(shown.source.split(',')[1]!, 'base64')).metadata()).toMatchObject({ format: 'jpeg' })
})
