/** Serves the page to this machine only. Files are reached through ids that say nothing; there is no path in any address. */
import { randomBytes } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import type { BatchItem } from '../data/batches.ts'
import { type Answer, jsonAnswer, type LoopbackServer, refusal, serveLoopback } from '../util/loopbackServer.ts'
import type { BatchFilter, DatasetView } from './datasetView.ts'
import { renderPage, type ShownBatch } from './page.ts'
import { sourceJpeg, trainedPng } from './picture.ts'

export interface DebugServerOptions {
  /** Default 0: any free one. */
  readonly port?: number
}

/** Pictures that can be asked for at a time; the oldest ids are forgotten. */
const rememberedPictures = 4096

/** Everything is in the page but its pictures. */
const contentSecurityPolicy =
  "img-src 'self' data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'"

/** Starts the server on the loopback address. @throws IoError when the port is taken */
export async function serveDataset(view: DatasetView, { port = 0 }: DebugServerOptions = {}): Promise<LoopbackServer> {
  const pages = new DatasetPages(view)
  return serveLoopback((request) => pages.answer(request), { port, contentSecurityPolicy })
}

/** What each address answers. */
class DatasetPages {
  readonly #view: DatasetView
  readonly #pictures = new Map<string, () => Promise<Answer>>()

  constructor(view: DatasetView) {
    this.#view = view
  }

  async answer(request: IncomingMessage): Promise<Answer> {
    if (request.method !== 'GET') return refusal(405, 'only GET')
    const { pathname, searchParams } = new URL(request.url ?? '/', 'http://127.0.0.1')
    if (pathname === '/') return await this.#page()
    if (pathname === '/batch') return this.#batch(searchParams)
    const picture = this.#pictures.get(pathname.replace(/^\/picture\//, ''))
    return picture === undefined ? refusal(404, 'no such page') : await picture()
  }

  async #page(): Promise<Answer> {
    const body = await renderPage({ summary: this.#view.summary, batches: null })
    return { type: 'text/html; charset=utf-8', body }
  }

  #batch(query: URLSearchParams): Answer {
    const epoch = Number(query.get('epoch') ?? 1)
    const filter: BatchFilter = { bucket: query.get('bucket') || undefined, subset: query.get('subset') || undefined }
    const index = this.#view.findBatch(epoch, Number(query.get('from') ?? 0), filter)
    // An answer, not a fault: a browser would log a failed request.
    if (index === undefined) return refusal(200, 'no further batch of this epoch fits')
    const batch = this.#view.batch(epoch, index)
    const shown: ShownBatch = {
      ...batch,
      pictures: batch.items.map(({ slot }) => this.#addressesOf(this.#view.item(epoch, index, slot))),
    }
    return jsonAnswer(shown)
  }

  #addressesOf(item: BatchItem): ShownBatch['pictures'][number] {
    if (item.image.latents !== undefined) return null
    return {
      trained: this.#remember(async () => ({ type: 'image/png', body: await trainedPng(item, this.#view) })),
      source: this.#remember(async () => ({ type: 'image/jpeg', body: await sourceJpeg(item, this.#view) })),
    }
  }

  #remember(picture: () => Promise<Answer>): string {
    const id = randomBytes(16).toString('base64url')
    this.#pictures.set(id, picture)
    if (this.#pictures.size > rememberedPictures) this.#pictures.delete(this.#pictures.keys().next().value!)
    return `picture/${id}`
  }
}
