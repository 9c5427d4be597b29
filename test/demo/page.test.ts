import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { decodeImage } from '../../lib/data/image.ts'
import { demoSeeds } from '../../lib/demo/demo.ts'
import { writeDemoPage } from '../../lib/demo/page.ts'
import { writePng } from '../../lib/preview/png.ts'
import type { PreviewEvent } from '../../lib/train/events.ts'

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'noisewright-demo-page-'))
})
afterAll(() => rm(folder, { recursive: true }))

/** A PNG of one grey. */
async function grey(name: string, value: number): Promise<string> {
  const path = join(folder, `${name}.png`)
  await writePng(path, { width: 4, height: 4, pixels: new Uint8Array(48).fill(value) })
  return path
}

it('puts what was drawn before and after beside the example, prompt by prompt', async () => {
  const prompts = [
    { prompt: 'a <new> word', example: await grey('example', 10) },
    { prompt: 'an owl', example: null },
  ]
  const previews: PreviewEvent[] = []
  for (const step of [0, 5])
    for (let promptIndex = 0; promptIndex < prompts.length * demoSeeds.length; promptIndex++) {
      const path = await grey(`${step}-${promptIndex}`, 100 * (step / 5) + 20 + promptIndex)
      previews.push({ type: 'preview', path, prompt: '', promptIndex, step, epoch: 0 })
    }
  const [picture, page] = await writeDemoPage(folder, { command: 'train-db', prompts, previews, chart: '<svg/>' })

  const { width, height, pixels } = await decodeImage(picture!)
  const columns = 3 + 2 * demoSeeds.length
  expect([width, height]).toEqual([columns * 8 + (columns - 1) * 8, 2 * 8 + 8])
  const greyAt = (row: number, column: number): number => pixels[(row * 16 * width + column * 16) * 3]!
  expect([0, 1, 2, 3, 4, 5, 6, 7, 8].map((column) => greyAt(0, column))).toEqual([
    10, 255, 20, 21, 22, 255, 120, 121, 122,
  ])
  expect([0, 1, 2, 3, 4, 5, 6, 7, 8].map((column) => greyAt(1, column))).toEqual([
    255, 255, 23, 24, 25, 255, 123, 124, 125,
  ])

  const html = await readFile(page!, 'utf8')
  expect(html).toContain('a &lt;new&gt; word')
  expect(html.match(/data:image\/png/g)).toHaveLength(1 + previews.length)
  expect(html).toContain('<svg/>')
  expect(html).not.toMatch(/(src|href)="(?!data:)/)
})
