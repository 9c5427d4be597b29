/** Serves the page to this machine only. Files are reached through ids that say nothing; there is no path in any address. */
import { randomBytes } from 'node:crypto'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { BatchItem } from '../data/batches.ts'
import { IoError, NoisewrightError } from '../util/errors.ts'
import type { BatchFilter, DatasetView } from './datasetView.ts'
import { renderPage, type ShownBatch } from './page.ts'
import { sourceJpeg, trainedPng } from './picture.ts'

export interface DebugServer {
  /** `http://127.0.0.1:<port>/`. */
  readonly url: string
  /** Ends open connections too. */
  close(): Promise<void>
}

export interface DebugServerOptions {
  /** Default 0: any free one. */
  readonly port?: number
}

/** Pictures that can be asked for at a time; the oldest ids are forgotten. */
const rememberedPictures = 4096

/** Nothing is loaded from elsewhere, and no other page may embed this one. */
const headers = {
  'cache-control': 'no-store',
  'content-security-policy':
    "default-src 'none'; img-src 'self' data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
}

interface Answer {
  readonly status?: number
  readonly type: string
  readonly body: string | Uint8Array
}

/** Starts the server on the loopback address. @throws IoError when the port is taken */
export async function serveDataset(view: DatasetView, { port = 0 }: DebugServerOptions = {}): Promise<DebugServer> {
  const pages = new DatasetPages(view)
  const server = createServer((request, response) => {
    void pages.answer(request).then((answer) => send(response, answer))
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause) =>
      reject(new IoError(`127.0.0.1:${port}`, `cannot serve the page: ${cause.message}`, { cause })),
    )
    server.listen(port, '127.0.0.1', resolve)
  })
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

function send(response: ServerResponse, { status = 200, type, body }: Answer): void {
  response.writeHead(status, { ...headers, 'content-type': type })
  response.end(body)
}

function refuse(status: number, reason: string): Answer {
  return { status, type: 'application/json', body: JSON.stringify({ error: reason }) }
}

/** What each address answers. */
class DatasetPages {
  readonly #view: DatasetView
  readonly #pictures = new Map<string, () => Promise<Answer>>()

  constructor(view: DatasetView) {
    this.#view = view
  }

  async answer(request: IncomingMessage): Promise<Answer> {
    try {
      // A page elsewhere may point a name of its own at this address; it cannot make the browser send another Host.
      if (!/^(127\.0\.0\.1|localhost)(:\d+)?$/.test(request.headers.host ?? '')) return refuse(403, 'wrong host')
      if (request.method !== 'GET') return refuse(405, 'only GET')
      const { pathname, searchParams } = new URL(request.url ?? '/', 'http://127.0.0.1')
      if (pathname === '/') return await this.#page()
      if (pathname === '/batch') return this.#batch(searchParams)
      const picture = this.#pictures.get(pathname.replace(/^\/picture\//, ''))
      return picture === undefined ? refuse(404, 'no such page') : await picture()
    } catch (error) {
      return refuse(error instanceof NoisewrightError ? 400 : 500, (error as Error).message)
    }
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
    if (index === undefined) return refuse(200, 'no further batch of this epoch fits')
    const batch = this.#view.batch(epoch, index)
    const shown: ShownBatch = {
      ...batch,
      pictures: batch.items.map(({ slot }) => this.#addressesOf(this.#view.item(epoch, index, slot))),
    }
    return { type: 'application/json', body: JSON.stringify(shown) }
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
