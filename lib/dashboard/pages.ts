import { randomBytes, timingSafeEqual } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { systemErrorCode } from '../io/systemError.ts'
import { readAsset } from '../util/assets.ts'
import { type Answer, jsonAnswer, refusal } from '../util/loopbackServer.ts'
import { packageRoot } from '../util/packageRoot.ts'
import type { EventStream } from './eventStream.ts'
import type { DashboardRequest, RunState } from './runState.ts'

/** What the buttons of the page do. One that is left out is not shown. */
export type DashboardControls = Readonly<Partial<Record<DashboardRequest, () => void>>>

export interface PagesOptions {
  readonly title: string
  readonly controls: DashboardControls
  readonly state: RunState
  readonly stream: EventStream
}

/** What every address of the page answers. Pictures are reached through ids; there is no path of a file in any address. */
export class DashboardPages {
  readonly #options: PagesOptions
  readonly #files: ReadonlyMap<string, Answer>
  /** Only who could read the page may press its buttons. */
  readonly #token: string

  /** @throws IoError when the package is incomplete */
  static async open(options: PagesOptions): Promise<DashboardPages> {
    const token = randomBytes(32).toString('base64url')
    const chart = createRequire(join(packageRoot(), 'package.json'))
    const [page, css, script, charts, chartCss, chartScript] = await Promise.all([
      ...['page.html', 'page.css', 'page.js', 'charts.js'].map((name) => readAsset(`dashboard/${name}`)),
      ...['uPlot.min.css', 'uPlot.iife.min.js'].map((name) => readFile(chart.resolve(`uplot/dist/${name}`))),
    ])
    const html = new TextDecoder().decode(page)
    const [styleType, scriptType] = ['text/css; charset=utf-8', 'text/javascript; charset=utf-8']
    const parts: Readonly<Record<string, string>> = { token, title: escapeHtml(options.title) }
    const files = {
      '/': {
        type: 'text/html; charset=utf-8',
        body: html.replace(/<!-- (token|title) -->/g, (_, name: string) => parts[name]!),
      },
      '/page.css': { type: styleType, body: css! },
      '/page.js': { type: scriptType, body: script! },
      '/charts.js': { type: scriptType, body: charts! },
      '/uplot.css': { type: styleType, body: chartCss! },
      '/uplot.js': { type: scriptType, body: chartScript! },
    }
    return new DashboardPages(options, new Map(Object.entries(files)), token)
  }

  private constructor(options: PagesOptions, files: ReadonlyMap<string, Answer>, token: string) {
    this.#options = options
    this.#files = files
    this.#token = token
  }

  /** Null: the response has become a stream. */
  async answer(request: IncomingMessage, response: ServerResponse): Promise<Answer | null> {
    const { state, stream } = this.#options
    const { pathname, searchParams } = new URL(request.url ?? '/', 'http://127.0.0.1')
    if (request.method === 'POST') return this.#control(request, pathname)
    if (request.method !== 'GET') return refusal(405, 'only GET and POST')
    const file = this.#files.get(pathname)
    if (file !== undefined) return file
    if (pathname === '/state') return jsonAnswer({ ...state.snapshot(), lastId: stream.lastId, controls: this.#names })
    if (pathname === '/events')
      return stream.open(request, response, searchParams.get('after')) ? null : refusal(503, 'too many pages listen')
    return this.#picture(/^\/preview\/([\w-]+)$/.exec(pathname)?.[1] ?? '')
  }

  get #names(): readonly string[] {
    return Object.keys(this.#options.controls)
  }

  #control({ headers }: IncomingMessage, pathname: string): Answer {
    if (headers.origin !== `http://${headers.host}`) return refusal(403, 'wrong origin')
    if (!this.#knowsToken(headers['x-dashboard-token'])) return refusal(403, 'wrong token')
    const { controls, state, stream } = this.#options
    for (const name of ['preview', 'save', 'stop'] as const) {
      const act = controls[name]
      if (pathname !== `/control/${name}` || act === undefined) continue
      act()
      stream.send(state.request(name))
      return jsonAnswer({ asked: name }, 202)
    }
    return refusal(404, 'no such control')
  }

  #knowsToken(given: unknown): boolean {
    const [known, tried] = [this.#token, typeof given === 'string' ? given : ''].map((text) => Buffer.from(text))
    return known!.byteLength === tried!.byteLength && timingSafeEqual(known!, tried!)
  }

  async #picture(id: string): Promise<Answer> {
    const path = this.#options.state.previews.pathOf(id)
    if (path === undefined) return refusal(404, 'no such page')
    try {
      const headers = { 'cache-control': 'private, max-age=86400, immutable' }
      return { type: 'image/png', body: await readFile(path), headers }
    } catch (error) {
      if (systemErrorCode(error) === undefined) throw error
      return refusal(404, 'the picture cannot be read any more')
    }
  }
}

function escapeHtml(text: string): string {
  const names: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' }
  return text.replace(/[&<>"]/g, (character) => names[character]!)
}
