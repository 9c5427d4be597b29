import { readFile } from 'node:fs/promises'
import { request } from 'node:http'
import { join } from 'node:path'
import sharp from 'sharp'
import { afterEach, beforeAll, describe, expect, it } from 'vitest'
import { resolveDatasetConfig } from '../../lib/config/datasetConfig.ts'
import { readBatches } from '../../lib/data/batches.ts'
import { loadDatasetGroup } from '../../lib/data/datasetGroup.ts'
import { writeLatentFile } from '../../lib/data/latentFiles.ts'
import { DatasetView } from '../../lib/debugDataset/datasetView.ts'
import { writeDatasetHtml } from '../../lib/debugDataset/htmlFile.ts'
import { listBatch } from '../../lib/debugDataset/listing.ts'
import type { PageData, ShownBatch } from '../../lib/debugDataset/page.ts'
import { serveDataset } from '../../lib/debugDataset/server.ts'
import { memory } from '../../lib/tensor/runtime.ts'
import { loadedTensor } from '../../lib/train/inputs/latents.ts'
import { ArgumentError, IoError } from '../../lib/util/errors.ts'
import type { LoopbackServer } from '../../lib/util/loopbackServer.ts'
import { hostileCaption, makeDebugView, plainCaptions } from '../support/debugView.ts'
import { makeFolder } from '../support/pictures.ts'

let view: DatasetView
let folder: string

beforeAll(async () => {
  ;({ view, folder } = await makeDebugView())
})

const everyItem = () =>
  Array.from({ length: view.group.batchesPerEpoch }, (_, index) => view.batch(1, index).items).flat()

describe('DatasetView', () => {
  it('shows every use of every picture of an epoch', () => {
    const paths = everyItem().map(({ path }) => path)
    expect(paths.filter((path) => path.endsWith('wide.png'))).toHaveLength(2)
    expect(paths.filter((path) => path.endsWith('frog.jpg'))).toHaveLength(1)
    expect(paths).toHaveLength(view.group.trainImageCount)
  })

  it('tells caption, tokens and what does not fit', () => {
    const frog = everyItem().find(({ path }) => path.endsWith('frog.jpg'))!
    expect(frog.tokens).toHaveLength(75)
    expect(frog.tokens[0]).toBe('word')
    expect(frog.droppedTokens).toBe(15)
    expect(everyItem().find(({ path }) => path.endsWith('copy.png'))!.caption).toBe('a thing')
  })

  it('tells the part of the picture that is used', () => {
    for (let index = 0; index < view.group.batchesPerEpoch; index++)
      for (const { slot, cropBox } of view.batch(1, index).items) {
        const { crop } = view.item(1, index, slot)
        expect(cropBox.width).toBeCloseTo(crop.target.width / crop.resized.width)
        expect(cropBox.left).toBeCloseTo(crop.left / crop.resized.width)
        expect(cropBox.top).toBeCloseTo(crop.top / crop.resized.height)
      }
  })

  it('points out copies and pictures that are enlarged', () => {
    const of = (name: string): readonly string[] => everyItem().find(({ path }) => path.endsWith(name))!.remarks
    expect(of('wide.png').join()).toContain(`same picture as ${join(folder, 'b')}/copy.png`)
    expect(of('tiny.png').join()).toContain('enlarged from 20x20 to 64x64')
    expect(of('frog.jpg')).toEqual([])
    expect(view.summary.warnings).toContain('1 of 5 pictures are copies of another one')
  })

  it('finds the next batch of a bucket or a subset', () => {
    const bucket = '64x64'
    const index = view.findBatch(1, 0, { bucket })!
    expect(view.batch(1, index)).toMatchObject({ width: 64, height: 64 })
    const subset = join(folder, 'b')
    const withSubset = view.findBatch(1, 0, { subset })!
    expect(view.batch(1, withSubset).items.some((item) => item.subset === subset)).toBe(true)
    expect(view.findBatch(1, view.group.batchesPerEpoch, {})).toBeUndefined()
    expect(view.findBatch(1, 0, { bucket: '8x8' })).toBeUndefined()
  })

  it('refuses a batch outside the epoch', () => {
    expect(() => view.batch(1, view.group.batchesPerEpoch)).toThrow(ArgumentError)
    expect(() => view.batch(0, 0)).toThrow(ArgumentError)
  })

  it('is listed as text', () => {
    const lines = listBatch(view.batch(2, 0)).join('\n')
    expect(lines).toContain(`epoch 2, batch 1 of ${view.group.batchesPerEpoch}`)
    expect(lines).toMatch(/\d+ tokens.*: /)
    expect(lines).toMatch(/uses (the whole picture|\d+ % of its width)/)
  })
})

it('a picture that comes with latents is listed without a size and a crop, which nobody looked at', async () => {
  const entry = { caption: 'frog', train_resolution: [64, 64] }
  const own = await makeFolder({ 'meta.json': JSON.stringify({ a: entry }), 'a.png': [96, 80] })
  await writeLatentFile(join(own, 'a.npz'), { values: new Float32Array(256), shape: [8, 8, 4] })
  const subsets = [{ metadata_file: join(own, 'meta.json'), image_dir: own }]
  const config = await resolveDatasetConfig({ datasets: [{ subsets }] })
  const group = await loadDatasetGroup({ config }, { seed: 1 })
  const shown = await DatasetView.open(group, { captions: await plainCaptions() })
  const [, path, facts, , tokens] = listBatch(shown.batch(1, 0))
  expect(path).toBe(`  ${own}/a.png`)
  expect(facts).toBe(`    repeats 1, not mirrored, latents from ${own}/a.npz, loss weight 1`)
  expect(tokens).toBe('    1 token: frog')
})

describe('the server', () => {
  let server: LoopbackServer
  afterEach(() => server.close())

  async function firstBatch(query = ''): Promise<ShownBatch> {
    return (await (await fetch(`${server.url}batch?epoch=1&from=0${query}`)).json()) as ShownBatch
  }

  it('sends pictures that equal the tensors of the batch', async () => {
    server = await serveDataset(view)
    let index = 0
    for await (const { items } of readBatches(view.group, 1)) {
      const shown = (await (await fetch(`${server.url}batch?epoch=1&from=${index++}`)).json()) as ShownBatch
      expect(shown.items.map(({ caption }) => caption)).toEqual(items.map(({ caption }) => caption))
      for (const [slot, item] of items.entries()) {
        const png = await (await fetch(server.url + shown.pictures[slot]!.trained)).arrayBuffer()
        const pixels = await sharp(Buffer.from(png)).raw().toBuffer()
        const tensor = loadedTensor(item.pixels, item)
        const values = (await tensor.read()) as Float32Array
        tensor.dispose()
        expect(pixels).toHaveLength(values.length)
        expect(values.every((value, at) => Math.abs(value - (pixels[at]! / 127.5 - 1)) < 1e-6)).toBe(true)
      }
    }
  })

  it('names no file in an address and knows no address but its own', async () => {
    server = await serveDataset(view)
    const { pictures } = await firstBatch()
    for (const picture of pictures) {
      const { trained, source } = picture!
      expect(trained).toMatch(/^picture\/[\w-]{22}$/)
      expect(source).toMatch(/^picture\/[\w-]{22}$/)
    }
    for (const path of ['picture/', 'picture/../batch', '../../etc/passwd', `picture/${encodeURIComponent(folder)}`])
      expect((await fetch(server.url + path)).status, path).not.toBe(500)
    expect((await fetch(`${server.url}picture/AAAAAAAAAAAAAAAAAAAAAA`)).status).toBe(404)
    expect((await fetch(`${server.url}batch?epoch=1&from=x`)).status).toBe(200)
    expect((await fetch(`${server.url}batch?epoch=-1`)).status).toBe(400)
    expect((await fetch(server.url, { method: 'POST' })).status).toBe(405)
  })

  it('answers this machine only', async () => {
    server = await serveDataset(view)
    expect(server.url).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/$/)
    const status = await new Promise((resolve) => {
      request(server.url, { headers: { host: 'example.org' } }, (response) => resolve(response.statusCode)).end()
    })
    expect(status).toBe(403)
  })

  it('keeps captions out of the markup', async () => {
    server = await serveDataset(view)
    const response = await fetch(server.url)
    expect(response.headers.get('content-security-policy')).toContain("default-src 'none'")
    expect(await response.text()).not.toContain(hostileCaption)
  })

  it('says that a port is taken', async () => {
    server = await serveDataset(view)
    const port = Number(new URL(server.url).port)
    await expect(serveDataset(view, { port })).rejects.toThrow(IoError)
  })

  it('leaves no tensor behind', async () => {
    server = await serveDataset(view)
    const before = memory().liveBuffers
    const { pictures } = await firstBatch()
    await Promise.all(pictures.map((picture) => fetch(server.url + picture!.trained).then((r) => r.arrayBuffer())))
    expect(memory().liveBuffers).toBe(before)
  })
})

it('writes one file that holds the first batches with their pictures', async () => {
  const path = join(folder, 'page.html')
  await writeDatasetHtml(path, view, { maxBatches: 2 })
  const html = await readFile(path, 'utf8')
  const json = /<script id="data" type="application\/json">(.*?)<\/script>/s.exec(html)![1]!
  const { batches, summary } = JSON.parse(json) as PageData
  expect(batches).toHaveLength(2)
  expect(summary.batchesPerEpoch).toBe(view.group.batchesPerEpoch)
  expect(html).not.toContain(hostileCaption)
  const { items, pictures } = batches![0]!
  expect(pictures).toHaveLength(items.length)
  const png = Buffer.from(pictures[0]!.trained.split(',')[1]!, 'base64')
  expect(await sharp(png).metadata()).toMatchObject({ format: 'png', width: batches![0]!.width })
})
