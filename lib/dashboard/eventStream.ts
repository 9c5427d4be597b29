import { randomBytes } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'

export interface EventStreamOptions {
  /** Messages kept for pages that were away. Default 1,000. */
  readonly remembered?: number
  /** Pages that may listen at a time. Default 32. */
  readonly clientLimit?: number
}

/** A page that takes nothing up is let go when so many bytes wait for it; it comes back by itself. */
const mostWaitingBytes = 1 << 20
/** Milliseconds between signs of life: they keep tunnels open, and show which pages are gone. */
const signOfLifeMs = 15_000
/** Milliseconds that a browser waits before it comes back. */
const retryMs = 2000

/**
 * Messages to pages as server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html). A page that comes back
 * says which message it saw last and gets those since; when they are not known any more, or are another training's, it is told to
 * begin anew: event `reset`.
 */
export class EventStream {
  readonly #run = randomBytes(8).toString('hex')
  readonly #remembered: number
  readonly #clientLimit: number
  readonly #recent: string[] = []
  readonly #clients = new Set<ServerResponse>()
  readonly #timer = setInterval(() => this.#write(':\n\n'), signOfLifeMs).unref()
  #count = 0

  constructor({ remembered = 1000, clientLimit = 32 }: EventStreamOptions = {}) {
    this.#remembered = remembered
    this.#clientLimit = clientLimit
  }

  /** The id of the last message. */
  get lastId(): string {
    return `${this.#run}-${this.#count}`
  }

  send(data: unknown): void {
    this.#count++
    const text = `id: ${this.lastId}\ndata: ${JSON.stringify(data)}\n\n`
    this.#recent.push(text)
    if (this.#recent.length > this.#remembered) this.#recent.shift()
    this.#write(text)
  }

  /**
   * Answers a request with all messages after the one that its `Last-Event-ID`, or else `after`, names.
   * @returns false, with nothing answered, when too many pages listen
   */
  open(request: IncomingMessage, response: ServerResponse, after: string | null): boolean {
    if (this.#clients.size >= this.#clientLimit) return false
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    const missed = this.#since(request.headers['last-event-id']?.toString() ?? after ?? '')
    if (missed === undefined) {
      response.end(`retry: ${retryMs}\nevent: reset\ndata: {}\n\n`)
      return true
    }
    response.write(`retry: ${retryMs}\n\n${missed.join('')}`)
    this.#clients.add(response)
    const leave = (): boolean => this.#clients.delete(response)
    response.on('close', leave).on('error', leave)
    return true
  }

  close(): void {
    clearInterval(this.#timer)
    for (const client of this.#clients) client.end()
  }

  #since(id: string): readonly string[] | undefined {
    const [run, count] = id.split('-')
    const missing = this.#count - Number(count)
    if (run !== this.#run || !/^\d+$/.test(count ?? '') || missing < 0 || missing > this.#recent.length)
      return undefined
    return missing === 0 ? [] : this.#recent.slice(-missing)
  }

  #write(text: string): void {
    for (const client of this.#clients) {
      client.write(text)
      if (client.writableLength <= mostWaitingBytes) continue
      this.#clients.delete(client)
      client.destroy()
    }
  }
}
