import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { type Browser, chromium, type Page } from 'playwright-core'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { DatasetView } from '../../lib/debugDataset/datasetView.ts'
import { writeDatasetHtml } from '../../lib/debugDataset/htmlFile.ts'
import { trainedPicture } from '../../lib/debugDataset/picture.ts'
import { serveDataset } from '../../lib/debugDataset/server.ts'
import type { LoopbackServer } from '../../lib/util/loopbackServer.ts'
import { hostileCaption, makeDebugView } from '../support/debugView.ts'

let view: DatasetView
let folder: string
let browser: Browser
let server: LoopbackServer
let page: Page
let complaints: string[]

beforeAll(async () => {
  ;({ view, folder } = await makeDebugView())
  browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    args: ['--no-sandbox', '--disable-gpu', '--disable-background-networking', '--disable-component-update'],
  })
  server = await serveDataset(view)
})
afterAll(async () => {
  await browser?.close()
  await server?.close()
})
beforeEach(async () => {
  page = await browser.newPage()
  complaints = []
  page.on('console', (message) => complaints.push(message.text()))
  page.on('pageerror', (error) => complaints.push(error.message))
})
afterEach(async () => {
  await page.close()
  expect(complaints).toEqual([])
})

const shows = (batch: string): Promise<unknown> => page.waitForSelector(`body[data-batch="${batch}"]`)

/** What a picture of the page is made of, as the browser decodes it: RGB. Text, since it runs where other types hold. */
function pixelsOf(slot: number): Promise<number[]> {
  return page.evaluate(`(async () => {
    const image = document.querySelectorAll('img.trained')[${slot}]
    await image.decode()
    const { naturalWidth: width, naturalHeight: height } = image
    const context = Object.assign(document.createElement('canvas'), { width, height }).getContext('2d')
    context.drawImage(image, 0, 0)
    return Array.from(context.getImageData(0, 0, width, height).data).filter((_, position) => position % 4 !== 3)
  })()`)
}

async function expectPicturesOf(epoch: number, index: number): Promise<void> {
  for (const { slot } of view.batch(epoch, index).items) {
    const { pixels } = await trainedPicture(view.item(epoch, index, slot), view)
    expect(await pixelsOf(slot)).toEqual(Array.from(pixels))
  }
}

describe('the page of the server', () => {
  it('shows each batch as the model gets it', async () => {
    await page.goto(server.url)
    for (let index = 0; index < view.group.batchesPerEpoch; index++) {
      await shows(`1/${index}`)
      await expectPicturesOf(1, index)
      await page.keyboard.press('s')
    }
    await expect(page.locator('#message').textContent()).resolves.toContain('no further batch')
  })

  it('goes to the next batch with S and to the next epoch with E', async () => {
    await page.goto(server.url)
    await shows('1/0')
    await page.keyboard.press('S')
    await shows('1/1')
    await page.keyboard.press('e')
    await shows('2/0')
    expect(await page.locator('#place').textContent()).toContain('Epoch 2, batch 1')
    await expectPicturesOf(2, 0)
    await page.click('#next-epoch')
    await shows('3/0')
  })

  it('shows captions as text, whatever they hold', async () => {
    await page.goto(server.url)
    const subset = join(folder, 'a')
    await page.selectOption('#subset', subset)
    const captions: string[] = []
    for (let index = view.findBatch(1, 0, { subset }); index !== undefined; ) {
      await shows(`1/${index}`)
      captions.push(...(await page.locator('.caption').allTextContents()))
      index = view.findBatch(1, index + 1, { subset })
      if (index !== undefined) await page.click('#next-batch')
    }
    expect(captions).toContain(hostileCaption)
    expect(await page.title()).toBe('What the model will see')
  })

  it('filters by bucket', async () => {
    await page.goto(server.url)
    const bucket = view.summary.buckets.at(-1)!.name
    await page.selectOption('#bucket', bucket)
    await shows(`1/${view.findBatch(1, 0, { bucket })}`)
    expect(await page.locator('#place').textContent()).toContain(`bucket ${bucket}`)
  })

  it('draws the crop box inside the picture', async () => {
    await page.goto(server.url)
    await shows('1/0')
    const outer = (await page.locator('.source').first().boundingBox())!
    const inner = (await page.locator('.box').first().boundingBox())!
    const { cropBox } = view.batch(1, 0).items[0]!
    expect(inner.x - outer.x).toBeCloseTo(cropBox.left * outer.width, 0)
    expect(inner.width).toBeCloseTo(cropBox.width * outer.width, 0)
  })

  it('can be read on a phone', async () => {
    await page.setViewportSize({ width: 360, height: 740 })
    await page.goto(server.url)
    await shows('1/0')
    expect(await page.evaluate('document.documentElement.scrollWidth')).toBeLessThanOrEqual(360)
    const sizes: number[] = await page.evaluate(`
      Array.from(document.querySelectorAll('.caption, .path, .tokens'), (element) =>
        Number.parseFloat(getComputedStyle(element).fontSize))`)
    expect(Math.min(...sizes)).toBeGreaterThanOrEqual(12)
  })
})

describe('the file', () => {
  it('shows the same without a server', async () => {
    const path = join(folder, 'page.html')
    await writeDatasetHtml(path, view, { maxBatches: 3 })
    await page.goto(pathToFileURL(path).href)
    await shows('1/0')
    await expectPicturesOf(1, 0)
    await page.keyboard.press('s')
    await shows('1/1')
    await expectPicturesOf(1, 1)
  })
})
