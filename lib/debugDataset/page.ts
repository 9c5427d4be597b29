/** The page that shows batches, as one document: with its data in it, or asking a server for them. */
import { readAsset } from '../util/assets.ts'
import type { BatchView, DatasetSummary } from './datasetView.ts'

/** A batch with the addresses of its pictures: opaque ids of the server, or data in the page. */
export interface ShownBatch extends BatchView {
  /** Null for what is trained from latents in a file. */
  readonly pictures: readonly ({ readonly trained: string; readonly source: string } | null)[]
}

export interface PageData {
  readonly summary: DatasetSummary
  /** Null: the page asks the server for each batch. */
  readonly batches: readonly ShownBatch[] | null
}

/** The page with its style, script and data. Works from a file and needs nothing else. */
export async function renderPage(data: PageData): Promise<string> {
  const [html, css, script] = await Promise.all(['page.html', 'page.css', 'page.js'].map(textAsset))
  const parts: Readonly<Record<string, string>> = { style: css!, script: script!, data: jsonForScript(data) }
  return html!.replace(/<!-- (style|script|data) -->/g, (_, part: string) => parts[part]!)
}

async function textAsset(name: string): Promise<string> {
  return new TextDecoder().decode(await readAsset(`debugDataset/${name}`))
}

/** JSON that cannot end the script element it stands in, whatever captions and paths hold. */
function jsonForScript(value: unknown): string {
  return JSON.stringify(value).replaceAll('<', '\\u003c')
}
