import { atomicWrite } from '../io/atomicWrite.ts'
import type { BatchView, DatasetView } from './datasetView.ts'
import { renderPage, type ShownBatch } from './page.ts'
import { sourceJpeg, trainedPng } from './picture.ts'

export interface HtmlFileOptions {
  /** Batches in the file, from the start of the first epoch. Default 20. */
  readonly maxBatches?: number
}

/**
 * Writes one HTML file that shows the first batches without a server, pictures included.
 * @throws IoError when the file cannot be written
 */
export async function writeDatasetHtml(path: string, view: DatasetView, options: HtmlFileOptions = {}): Promise<void> {
  const count = Math.min(options.maxBatches ?? 20, view.group.batchesPerEpoch)
  const batches: ShownBatch[] = []
  for (let index = 0; index < count; index++) batches.push(await withPictures(view, view.batch(1, index)))
  await atomicWrite(path, new TextEncoder().encode(await renderPage({ summary: view.summary, batches })))
}

async function withPictures(view: DatasetView, batch: BatchView): Promise<ShownBatch> {
  const pictures = await Promise.all(
    batch.items.map(async ({ slot }) => {
      const item = view.item(batch.epoch, batch.index, slot)
      if (item.image.latents !== undefined) return null
      const [trained, source] = await Promise.all([trainedPng(item, view), sourceJpeg(item, view)])
      return { trained: dataUrl('image/png', trained), source: dataUrl('image/jpeg', source) }
    }),
  )
  return { ...batch, pictures }
}

function dataUrl(type: string, bytes: Uint8Array): string {
  return `data:${type};base64,${Buffer.from(bytes).toString('base64')}`
}
