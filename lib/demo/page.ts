/** What a model drew before and after the demo's training, side by side: a picture and a page. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { decodeImage } from '../data/image.ts'
import { atomicWrite } from '../io/atomicWrite.ts'
import { contactSheet } from '../preview/contactSheet.ts'
import { type RgbImage, writePng } from '../preview/png.ts'
import type { PreviewEvent } from '../train/events.ts'
import { type DemoPrompt, demoSeeds } from './demo.ts'

export interface DemoResult {
  /** The training, by its command. */
  readonly command: string
  readonly prompts: readonly DemoPrompt[]
  /** Of the prompts and seeds, in order: those of step 0 and those of the last step. */
  readonly previews: readonly PreviewEvent[]
  /** SVG of the loss. */
  readonly chart: string
}

interface Row {
  readonly prompt: string
  /** PNG files. */
  readonly example: string | null
  readonly before: readonly string[]
  readonly after: readonly string[]
}

/**
 * Writes `demo.png` and `demo.html`, which needs no other file.
 * @returns both paths
 */
export async function writeDemoPage(folder: string, result: DemoResult): Promise<string[]> {
  const rows = rowsOf(result)
  const picture = join(folder, 'demo.png')
  const page = join(folder, 'demo.html')
  await writePng(picture, contactSheet(await Promise.all(rows.map(cellsOf)), { scale: 2, gap: 8 }))
  await atomicWrite(page, await pageOf(rows, result))
  return [picture, page]
}

function rowsOf({ prompts, previews }: DemoResult): Row[] {
  const last = Math.max(...previews.map(({ step }) => step))
  return prompts.map(({ prompt, example }, index) => {
    const drawnAt = (step: number): string[] =>
      previews
        .filter((event) => event.step === step && Math.floor((event.promptIndex ?? 0) / demoSeeds.length) === index)
        .map(({ path }) => path)
    return { prompt, example, before: drawnAt(0), after: drawnAt(last) }
  })
}

/** The example, a space, before, a space, after. */
async function cellsOf({ example, before, after }: Row): Promise<(RgbImage | null)[]> {
  const read = async (path: string): Promise<RgbImage> => decodeImage(path)
  const all = (paths: readonly string[]): Promise<RgbImage[]> => Promise.all(paths.map(read))
  return [example === null ? null : await read(example), null, ...(await all(before)), null, ...(await all(after))]
}

async function pageOf(rows: readonly Row[], { command, chart }: DemoResult): Promise<string> {
  const image = async (path: string): Promise<string> =>
    `<img width="128" height="128" alt="" src="data:image/png;base64,${(await readFile(path)).toString('base64')}">`
  const images = async (paths: readonly string[]): Promise<string> => (await Promise.all(paths.map(image))).join('')
  const lines = await Promise.all(
    rows.map(async ({ prompt, example, before, after }) => {
      const cells = [await images(example === null ? [] : [example]), await images(before), await images(after)]
      return `<tr><th>${escapeHtml(prompt)}</th>${cells.map((cell) => `<td>${cell}</td>`).join('')}</tr>`
    }),
  )
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>noisewright ${command}</title>
<style>
  body { font: 16px sans-serif; margin: 2em; color: #222; background: #fff }
  img { image-rendering: pixelated; margin: 2px }
  th { font-weight: normal; text-align: left; padding-right: 1em }
  table { border-spacing: 1em 0.5em }
  svg { max-width: 800px }
</style>
<h1>noisewright ${command}</h1>
<p>The same noise before and after the training; each column of pictures is one seed.</p>
<table>
<tr><th></th><th>trained on</th><th>before</th><th>after</th></tr>
${lines.join('\n')}
</table>
${chart}
</html>
`
}

function escapeHtml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
}
