import { type Browser, type BrowserContext, chromium, type Page } from 'playwright-core'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { type Dashboard, startDashboard } from '../../lib/dashboard/dashboard.ts'
import type { TrainEvent } from '../../lib/train/events.ts'
import { previewEvents, prompts, startEvent, stepEvent } from '../support/scriptedRun.ts'

const total = 80
let browser: Browser
let context: BrowserContext
let dashboard: Dashboard
let page: Page
let complaints: string[]
let asked: string[]

beforeAll(async () => {
  browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    args: ['--no-sandbox', '--disable-gpu', '--disable-background-networking', '--disable-component-update'],
  })
})
afterAll(() => browser?.close())
beforeEach(async () => {
  asked = []
  const ask = (name: string) => (): void => void asked.push(name)
  const controls = { preview: ask('preview'), save: ask('save'), stop: ask('stop') }
  dashboard = await startDashboard({ controls, title: 'frog' })
  context = await browser.newContext({ viewport: { width: 1280, height: 900 } })
  page = await context.newPage()
  complaints = []
  page.on('console', (message) => complaints.push(message.text()))
  page.on('pageerror', (error) => complaints.push(error.message))
})
afterEach(async () => {
  await context.close()
  await dashboard.close()
  expect(complaints).toEqual([])
})

const send = async (...events: TrainEvent[]): Promise<void> => {
  for (const event of events) await dashboard.sink.event(event)
}

async function sendSteps(from: number, to: number): Promise<void> {
  for (let step = from; step <= to; step++) await send(stepEvent(step, total))
}

const text = (selector: string): Promise<string | null> => page.locator(selector).textContent()
const drawn = (rows: number): Promise<unknown> => page.waitForSelector(`body[data-drawn="${rows}"]`)

/** Pixels of a chart that are not blank, of a colour where one is given as `r,g,b`. */
function inkOf(chart: string, colour = ''): Promise<number> {
  return page.evaluate(`(() => {
    const canvas = document.querySelector('#chart-${chart} canvas')
    const { width, height } = canvas
    const copy = Object.assign(document.createElement('canvas'), { width, height }).getContext('2d')
    copy.drawImage(canvas, 0, 0)
    const { data } = copy.getImageData(0, 0, width, height)
    let count = 0
    for (let i = 0; i < data.length; i += 4)
      if (data[i + 3] > 200 && ('${colour}' === '' || [data[i], data[i + 1], data[i + 2]].join() === '${colour}')) count++
    return count
  })()`)
}

const accent = '180,68,28'

describe('the page of a training', () => {
  it('is live: progress, curves, log and previews as they come', async () => {
    await page.goto(dashboard.url)
    await page.waitForSelector('body[data-status="waiting"]')
    expect(await page.locator('#previews').isVisible()).toBe(false)
    await send(startEvent(total), { type: 'warning', message: 'two pictures have no caption' })
    await send({ type: 'cache', what: 'pictures', done: 4, total: 8, reused: 0, perSecond: 1 })
    await expect.poll(() => text('#status')).toBe('encoding pictures: 4 of 8')
    await sendSteps(1, 20)
    await send(...(await previewEvents(20, 1)))
    await drawn(20)
    expect(await text('#status')).toBe('training')
    expect(await text('#step')).toBe('20 of 80')
    expect(await text('#epoch')).toBe('1 of 4')
    expect(await text('#rate')).toMatch(/steps\/s$/)
    expect(await text('#left')).toMatch(/^\d+:\d\d, until /)
    expect(await page.title()).toBe('25 % frog')
    for (const chart of ['loss', 'rates', 'norm', 'speed', 'memory'])
      expect(await inkOf(chart), chart).toBeGreaterThan(200)
    const label = await page.locator('#chart-rates canvas').getAttribute('aria-label')
    expect(label).toBe('Curves over steps, latest: textencoder 2.00e-5, unet 4.00e-5')
    expect(await page.locator('#log .warning').textContent()).toContain('two pictures have no caption')
    await expect.poll(() => page.locator('#pictures figure').count()).toBe(prompts.length)

    const before = await inkOf('loss', accent)
    await sendSteps(21, total)
    await send({ type: 'validation', by: 'step', step: total, epoch: 4, loss: 0.1, trainingLoss: 0.1 })
    await send({ type: 'end', reason: 'finished', step: total, path: 'out/frog.safetensors' })
    await page.waitForSelector('body[data-status="finished"]')
    await drawn(total)
    expect(await inkOf('loss', accent)).not.toBe(before)
    expect(await page.locator('#chart-loss canvas').getAttribute('aria-label')).toMatch(/validation 0\.1$/)
    expect(await page.locator('#log li').first().textContent()).toContain(
      'finished after step 80: out/frog.safetensors',
    )
    expect(await page.locator('#control-save').isDisabled()).toBe(true)
  })

  it('tells the scale of the loss and its overflows in float16, and leaves gaps where they were', async () => {
    await page.goto(dashboard.url)
    await send(startEvent(total))
    await sendSteps(1, 10)
    await drawn(10)
    expect(await page.locator('#loss-scale').isVisible()).toBe(false)
    const overflowed = {
      gradientNorm: Number.POSITIVE_INFINITY,
      lossScaler: { scale: 32768, goodSteps: 0, overflows: 1 },
    }
    await send({ ...stepEvent(11, total), ...overflowed })
    await expect.poll(() => text('#loss-scale')).toBe('32768, 1 overflow')
    await send({ ...stepEvent(12, total), lossScaler: { scale: 16384, goodSteps: 0, overflows: 2 } })
    await expect.poll(() => text('#loss-scale')).toBe('16384, 2 overflows')
    await drawn(12)
    expect(await page.evaluate('columns.gradientNorm[10]')).toBe(null)
    await page.reload()
    await drawn(12)
    expect(await text('#loss-scale')).toBe('16384, 2 overflows')
  })

  it('is whole again after a reload, and goes on', async () => {
    await page.goto(dashboard.url)
    await send(startEvent(total), ...(await previewEvents(0, 1)))
    await sendSteps(1, 30)
    await drawn(30)
    const shown = async (): Promise<unknown[]> => [
      await text('#step'),
      await text('#loss'),
      await page.locator('#log li').count(),
      await page.locator('#pictures img').evaluateAll((images) => images.map((image) => image.getAttribute('src'))),
    ]
    const before = await shown()
    await page.reload()
    await drawn(30)
    expect(await shown()).toEqual(before)
    await sendSteps(31, 40)
    await drawn(40)
    expect(await text('#step')).toBe('40 of 80')
  })

  it('shows previews by prompt over time', async () => {
    await send(startEvent(total))
    for (const step of [10, 20, 30]) await send(...(await previewEvents(step, 1)))
    await page.goto(dashboard.url)
    const captions = (): Promise<string[]> => page.locator('#pictures figcaption small').allTextContents()
    await expect.poll(captions).toEqual([100, 101, 102].map((seed) => `step 30, epoch 1, seed ${seed}`))
    expect(
      await page.locator('#pictures img').evaluateAll((images) => images.map((image) => image.getAttribute('alt'))),
    ).toEqual(prompts)
    const red = (): Promise<number> =>
      page.evaluate(`(async () => {
        const image = document.querySelector('#pictures img')
        await image.decode()
        const drawing = Object.assign(document.createElement('canvas'), { width: 32, height: 32 }).getContext('2d')
        drawing.drawImage(image, 0, 0)
        return drawing.getImageData(0, 0, 1, 1).data[0]
      })()`)
    expect(await red()).toBe(30)
    await page.focus('#preview-at')
    await page.keyboard.press('ArrowLeft')
    expect((await captions())[0]).toBe('step 20, epoch 1, seed 100')
    expect(await red()).toBe(20)
    await send(...(await previewEvents(40, 1)))
    await expect.poll(() => page.locator('#preview-at').getAttribute('max')).toBe('3')
    expect((await captions())[0]).toBe('step 20, epoch 1, seed 100') // who looks back is not torn away
    await page.keyboard.press('End')
    await send(...(await previewEvents(50, 1)))
    await expect.poll(async () => (await captions())[0]).toBe('step 50, epoch 1, seed 100')
  })

  it('has buttons for a preview and a save, which say that they wait', async () => {
    await send(startEvent(total), stepEvent(1, total))
    await page.goto(dashboard.url)
    await page.click('#control-preview')
    await page.click('#control-save')
    await expect.poll(() => asked).toEqual(['preview', 'save'])
    await expect.poll(() => page.locator('#log li').first().textContent()).toContain('a save was asked for')
    expect(await page.locator('#control-save').isDisabled()).toBe(true)
    await send({ type: 'save', path: 'out/frog.safetensors', step: 1, epoch: 1, bytes: 3 << 20 })
    await expect.poll(() => page.locator('#control-save').isDisabled()).toBe(false)
    expect(await page.locator('#control-preview').isDisabled()).toBe(true)
    expect(await page.locator('#log .save').textContent()).toContain('saved out/frog.safetensors (3.0 MiB)')
  })

  it('stops the training only when that is confirmed, with the keyboard too', async () => {
    await send(startEvent(total), stepEvent(1, total))
    await page.goto(dashboard.url)
    const open = async (): Promise<void> => {
      await page.focus('#control-stop')
      await page.keyboard.press('Enter')
      await page.waitForSelector('#stop-dialog[open]')
    }
    await page.waitForSelector('#control-stop')
    await open()
    await page.keyboard.press('Escape')
    await open()
    await page.keyboard.press('Enter') // the button that has the focus goes on training
    expect(asked).toEqual([])
    await open()
    await page.keyboard.press('Shift+Tab')
    await page.keyboard.press('Enter')
    await expect.poll(() => asked).toEqual(['stop'])
    await expect.poll(() => text('#status')).toBe('stopping after this step')
    await send({ type: 'end', reason: 'interrupted', step: 1, path: 'a' })
    await expect.poll(() => text('#status')).toBe('stopped')
  })

  it('smooths the loss as much as is asked for', async () => {
    await send(startEvent(total))
    await sendSteps(1, total)
    await page.goto(dashboard.url)
    await drawn(total)
    const smooth = await text('#loss')
    await page.focus('#smoothing')
    await page.keyboard.press('Home')
    expect(await text('#smoothing-value')).toBe('0.00')
    expect(await text('#loss')).not.toBe(smooth)
    expect(Number(await text('#loss'))).toBeCloseTo(stepEvent(total, total).loss, 4)
  })

  it('keeps a part of the curves that was chosen while points come, until a double click', async () => {
    await send(startEvent(total))
    await sendSteps(1, 40)
    await page.goto(dashboard.url)
    await drawn(40)
    const range = async (): Promise<string> => {
      const steps = await page.evaluate<number[]>('[plots.norm.xRange.min, plots.norm.xRange.max]')
      return steps.map(Math.round).join('-')
    }
    expect(await range()).toBe('1-40')
    const box = (await page.locator('#chart-loss .u-over').boundingBox())!
    await page.mouse.move(box.x + box.width / 4, box.y + 40)
    await page.mouse.down()
    await page.mouse.move(box.x + box.width - 1, box.y + 40, { steps: 4 })
    await page.mouse.up()
    expect(await range()).toBe('11-40')
    await sendSteps(41, 50)
    await drawn(50)
    expect(await range()).toBe('11-40')
    await page.mouse.dblclick(box.x + box.width / 2, box.y + 40)
    expect(await range()).toBe('1-50')
  })

  it('asks for a shorter table when its points become too many', async () => {
    await send(startEvent(20_000))
    await page.goto(dashboard.url)
    for (let step = 1; step <= 5000; step++) {
      await send(stepEvent(step, 20_000))
      if (step % 500 === 0) await expect.poll(() => page.evaluate('document.body.dataset.step')).toBe(`${step}`)
    }
    const rows = (): Promise<number> => page.evaluate('columns.step.length')
    await expect.poll(rows).toBeLessThan(4000)
    expect(await page.evaluate('columns.step.at(-1)')).toBe(5000)
  })

  it('can be read on a phone', async () => {
    await page.setViewportSize({ width: 360, height: 740 })
    await send(startEvent(total), ...(await previewEvents(0, 1)))
    await sendSteps(1, 40)
    await page.goto(dashboard.url)
    await drawn(40)
    expect(await page.evaluate('document.documentElement.scrollWidth')).toBeLessThanOrEqual(360)
    const wide =
      "Array.from(document.querySelectorAll('section, .plot canvas, #controls, #log, img'), (e) => e.getBoundingClientRect().right)"
    expect(Math.max(...(await page.evaluate<number[]>(wide)))).toBeLessThanOrEqual(360)
    const sizes =
      "Array.from(document.querySelectorAll('dt, dd, #log li, figcaption small, .u-legend'), (e) => Number.parseFloat(getComputedStyle(e).fontSize))"
    expect(Math.min(...(await page.evaluate<number[]>(sizes)))).toBeGreaterThanOrEqual(12)
    const heights =
      "Array.from(document.querySelectorAll('button'), (e) => e.offsetHeight).filter((height) => height > 0)"
    expect(Math.min(...(await page.evaluate<number[]>(heights)))).toBeGreaterThanOrEqual(36)
  })

  it('has the colours of the system, and changes with them', async () => {
    await page.emulateMedia({ colorScheme: 'light' })
    await send(startEvent(total))
    await sendSteps(1, 40)
    await page.goto(dashboard.url)
    await drawn(40)
    expect(await inkOf('loss', accent)).toBeGreaterThan(0)
    await page.emulateMedia({ colorScheme: 'dark' })
    await expect.poll(() => inkOf('loss', accent)).toBe(0)
    expect(await inkOf('loss', '255,154,107')).toBeGreaterThan(0)
    expect(await page.evaluate('getComputedStyle(document.body).backgroundColor')).toBe('rgb(23, 24, 27)')
  })
})

describe('a page whose server goes away', () => {
  it('says so, keeps what it shows, and comes back', async () => {
    await send(startEvent(total))
    await sendSteps(1, 10)
    await page.goto(dashboard.url)
    await drawn(10)
    const port = Number(new URL(dashboard.url).port)
    await dashboard.close()
    await expect.poll(() => text('#message')).toContain('The connection is lost')
    expect(await text('#step')).toBe('10 of 80')
    dashboard = await startDashboard({ port })
    await send(startEvent(total), stepEvent(1, total))
    await expect.poll(() => text('#step'), { timeout: 20_000 }).toBe('1 of 80')
    complaints = [] // the browser tells of the connection that was refused
  })
})
