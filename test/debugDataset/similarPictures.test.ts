import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import sharp from 'sharp'
import { describe, expect, it } from 'vitest'
import { resolveDatasetConfig } from '../../lib/config/datasetConfig.ts'
import { loadDatasetGroup } from '../../lib/data/datasetGroup.ts'
import { DatasetView } from '../../lib/debugDataset/datasetView.ts'
import { writeDatasetHtml } from '../../lib/debugDataset/htmlFile.ts'
import { findAlike } from '../../lib/debugDataset/lookSearch.ts'
import type { PageData } from '../../lib/debugDataset/page.ts'
import { findRemarks } from '../../lib/debugDataset/remarks.ts'
import { hashOf, type Look, readLook } from '../../lib/debugDataset/similarPictures.ts'
import { PhiloxStream } from '../../lib/util/philox.ts'
import { plainCaptions } from '../support/debugView.ts'
import { encodeBmp, encodePicture, makeFolder, noisePixels } from '../support/pictures.ts'

/** Large soft shapes; other ones for another seed. */
async function scene(seed: number): Promise<Buffer> {
  const pixels = noisePixels(7 + seed, 5)
  const image = sharp(pixels, { raw: { width: 7 + seed, height: 5, channels: 3 } })
  return image.resize(320, 240, { fit: 'fill', kernel: 'cubic' }).png().toBuffer()
}

/** Each pair once, as positions. */
async function pairsAmong(looks: readonly Look[]): Promise<[number, number][]> {
  const found = await findAlike(looks, { mostNamed: Number.POSITIVE_INFINITY })
  return looks.flatMap((_, a) => (found.get(a)?.first ?? []).filter((b) => b > a).map((b): [number, number] => [a, b]))
}

/** By comparing each with each. */
function comparedPairs(looks: readonly Look[]): [number, number][] {
  const ones = Uint8Array.from({ length: 1 << 16 }, (_, word) => word.toString(2).replaceAll('0', '').length)
  const areAlike = (a: Look, b: Look): boolean => {
    if (Math.max(a.ratio, b.ratio) > 1.03 * Math.min(a.ratio, b.ratio)) return false
    let [bits, difference] = [0, 0]
    for (let i = 0; i < 8; i++) bits += ones[a.hash[i]! ^ b.hash[i]!]!
    for (let i = 0; bits <= 7 && i < 81; i++) difference += Math.abs(a.grey[i]! - b.grey[i]!)
    return bits <= 7 && difference <= 4 * 81
  }
  return looks.flatMap((look, a) =>
    looks.flatMap((other, b): [number, number][] => (b > a && areAlike(look, other) ? [[a, b]] : [])),
  )
}

describe('findAlike', () => {
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
      return (await pairsAmong(looks)).map(([a, b]) => names[a]![0]! + names[b]![0]!)
    }
    expect(await found(false)).toEqual(['ab', 'ac', 'ag', 'ah', 'bc', 'bg', 'bh', 'cg', 'ch', 'gh'])
    expect(await found(true)).toEqual(['ab', 'ac', 'ag', 'bc', 'bg', 'cg'])
  })

  const random = new PhiloxStream(1n, 'looks', 0, 0)
  const lookOf = (grey: Uint8Array, ratio = 1): Look => ({ ratio, grey, hash: hashOf(grey) })
  const drawn = (least: number, most: number): number => least + random.integer(most - least)
  const kinds: Readonly<Record<string, (index: number) => Look>> = {
    'slopes with noise': () => {
      const [level, across, down, noise] = [drawn(0, 180), drawn(-5, 6), drawn(-5, 6), drawn(0, 3)]
      const grey = Uint8Array.from({ length: 81 }, (_, i) =>
        Math.max(0, level + across * (i % 9) + down * Math.floor(i / 9) + random.integer(noise + 1)),
      )
      return lookOf(grey, 1 + random.integer(3) / 50)
    },
    'things on white': () => {
      const grey = new Uint8Array(81).fill(255)
      for (let i = drawn(0, 80), end = i + 3; i < Math.min(81, end); i++) grey[i] = random.integer(256)
      return lookOf(grey)
    },
    'scenes, some frames the same': (index) => {
      const scene = new PhiloxStream(BigInt(index % 30), 'scene', 0, 0)
      return lookOf(
        Uint8Array.from({ length: 81 }, () => scene.integer(250) + (index % 7 === 0 ? 0 : random.integer(9))),
      )
    },
  }

  it.each(Object.keys(kinds))('finds among %s what comparing each with each finds', async (kind) => {
    const looks = Array.from({ length: 1500 }, (_, index) => kinds[kind]!(index))
    const expected = comparedPairs(looks)
    expect(expected.length).toBeGreaterThan(100)
    expect(await pairsAmong(looks)).toEqual(expected)
    const few = await findAlike(looks, { mostNamed: 3 })
    const all = await findAlike(looks, { mostNamed: Number.POSITIVE_INFINITY })
    expect([...few].map(([at, { count, first }]) => [at, count, first])).toEqual(
      [...all].map(([at, { first }]) => [at, first.length, first.slice(0, 3)]),
    )
  })

  it('bands large groups again, and keeps what differs in the most bits that may', async () => {
    const half = (words: number): Uint16Array =>
      Uint16Array.from({ length: 8 }, (_, word) => (word < words ? 0 : random.integer(1 << 16)))
    const look = (hash: Uint16Array): Look => ({ ratio: 1, grey: new Uint8Array(81), hash })
    // Equal words say nothing, and no look is that of another one: greys differ by the least.
    const looks = Array.from({ length: 6000 }, (_, at) => {
      const one = look(half(at % 3 === 0 ? 6 : 1))
      one.grey[at % 81] = 1 + (at % 3)
      return one
    })
    const turned = (at: number, bits: number): Look => {
      const hash = looks[at]!.hash.slice()
      for (let bit = 0; bit < bits; bit++) hash[bit]! ^= 1 << bit
      return { ...look(hash), grey: looks[at]!.grey.with(80, 9) }
    }
    const at = looks.push(turned(5, 7), turned(7, 8)) - 2
    const found = await pairsAmong(looks)
    expect(found).toContainEqual([5, at])
    expect(found.some((pair) => pair.includes(at + 1))).toBe(false)
  })

  it('ends when it is told to', async () => {
    const looks = Array.from({ length: 30_000 }, (_, index) => kinds['slopes with noise']!(index))
    await expect(findAlike(looks, { signal: AbortSignal.abort(new Error('enough')) })).rejects.toThrow('enough')
  })
})

it('look-alikes of many pictures are found while a page is shown already', async () => {
  const one = await scene(0)
  const copy = await sharp(one).jpeg({ quality: 60 }).toBuffer()
  const folder = await makeFolder({ 'a.png': one, 'b.jpg': copy, 'c.png': one, 'd.png': await scene(1) })
  const config = await resolveDatasetConfig({ datasets: [{ resolution: 64, subsets: [{ image_dir: folder }] }] })
  const group = await loadDatasetGroup({ config }, { seed: 1, cacheLatents: true })
  const looks: number[] = []
  const remarks = await findRemarks(group, { mostAwaited: 3, onLook: (done, total) => looks.push(done, total) })
  expect(remarks.summary[0]).toBe('look-alikes are being searched among 4 pictures')
  expect(remarks.of(join(folder, 'a.png'))).toEqual([`same picture as ${folder}/c.png`])
  await remarks.done
  expect(looks.slice(-2)).toEqual([3, 3])
  expect(remarks.of(join(folder, 'a.png'))).toEqual([`same picture as ${folder}/c.png`, `looks like ${folder}/b.jpg`])
  expect(remarks.of(join(folder, 'b.jpg'))).toEqual([`looks like ${folder}/a.png`])
  expect(remarks.summary).toEqual([
    '3 of 4 pictures look like another one',
    '1 of 4 pictures are copies of another one',
  ])
  const stopped = await findRemarks(group, { mostAwaited: 0, signal: AbortSignal.abort(new Error('enough')) })
  await expect(stopped.done).rejects.toThrow('enough')
})

it('a damaged picture is crossed out and pointed out, and look-alikes are named', async () => {
  const damaged = await encodePicture('.png', 64, 64)
  damaged[damaged.length >> 1]! ^= 0xff
  const one = await scene(0)
  const copy = await sharp(one).jpeg({ quality: 60 }).toBuffer()
  const folder = await makeFolder({ 'a.png': one, 'b.jpg': copy, 'c.png': damaged })
  const config = await resolveDatasetConfig({ datasets: [{ resolution: 64, subsets: [{ image_dir: folder }] }] })
  const group = await loadDatasetGroup({ config }, { seed: 1, cacheLatents: true })
  const view = await DatasetView.open(group, { captions: await plainCaptions() })
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
