import { setTimeout as sleep } from 'node:timers/promises'
import { ConfigError } from '../../util/errors.ts'
import type { TrainEvent } from '../events.ts'
import { eventJson } from './jsonLinesSink.ts'
import type { LogContext, LogSink } from './logSink.ts'

export interface WebhookSinkOptions {
  /** Types of the events that are posted. Default: all but `step`, `cache` and `epoch`. */
  readonly events?: readonly TrainEvent['type'][]
  /** Milliseconds that one attempt may take. Default 10,000. */
  readonly timeoutMs?: number
  /** Further attempts for an event. Default 4. */
  readonly retries?: number
  /** Milliseconds before the first further attempt; twice as many before each next one. Default 1,000. */
  readonly backoffMs?: number
  /** Events that wait at most; those that come then are lost. Default 256. */
  readonly queueLimit?: number
  /** Milliseconds that closing waits for the events still queued. Default 10,000. */
  readonly closeMs?: number
}

const mainEvents: readonly TrainEvent['type'][] = [
  ...(['start', 'warning', 'epochEnd', 'validation'] as const),
  ...(['save', 'state', 'preview', 'end'] as const),
]

/** Statuses that may pass: too early, too many, and everything that is the server's fault. */
const passing = (status: number): boolean => [408, 425, 429].includes(status) || status >= 500
/** The longest wait that a server may ask for, in milliseconds. */
const longestWaitMs = 60_000

/**
 * Posts events as JSON to an http or https address: the event with `time`, as in the lines of the JSON Lines log.
 *
 * The training never waits for the server: events are queued, and posted one after the other. Each is tried again with growing
 * pauses when the server does not answer or answers 408, 425, 429 or 5xx (a `Retry-After` up to a minute is kept); redirections
 * are not followed. The first event that is lost becomes a warning, their number a second one at the end. Messages name the server
 * only, since the rest of such an address is often a secret.
 *
 * @throws ConfigError when the address is none
 */
export function webhookSink(address: string, options: WebhookSinkOptions = {}): LogSink {
  const target = parseTarget(address)
  if (target === null)
    throw new ConfigError('log_webhook must be an http or https address such as https://example.org/training', {
      option: 'log_webhook',
    })
  return new Webhook(target, options)
}

interface Target {
  readonly url: URL
  readonly authorization: Readonly<Record<string, string>>
}

/** `fetch` refuses addresses with a name and a password; they become the header that they stand for. */
function parseTarget(address: string): Target | null {
  try {
    const url = new URL(address)
    const credentials = `${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}`
    url.username = ''
    url.password = ''
    if (!/^https?:$/.test(url.protocol)) return null
    if (credentials === ':') return { url, authorization: {} }
    return { url, authorization: { authorization: `Basic ${Buffer.from(credentials).toString('base64')}` } }
  } catch {
    return null // whatever is wrong with it, what it holds is not for messages
  }
}

class Webhook implements LogSink {
  readonly name = 'webhook'
  readonly #url: URL
  readonly #headers: Readonly<Record<string, string>>
  readonly #options: Required<WebhookSinkOptions>
  readonly #queue: string[] = []
  readonly #giveUp = new AbortController()
  #context: LogContext | undefined
  #posting: Promise<void> | undefined
  #taken = 0
  #lost = 0

  constructor({ url, authorization }: Target, options: WebhookSinkOptions) {
    this.#url = url
    this.#headers = { 'content-type': 'application/json', ...authorization }
    const numbers = { timeoutMs: 10_000, retries: 4, backoffMs: 1000, queueLimit: 256, closeMs: 10_000 }
    this.#options = { events: mainEvents, ...numbers, ...options }
  }

  start(context: LogContext): void {
    this.#context = context
  }

  event(event: TrainEvent): void {
    const { events, queueLimit } = this.#options
    if (!events.includes(event.type)) return
    this.#taken++
    if (this.#queue.length >= queueLimit) {
      this.#lose(`${queueLimit} others are waiting already`)
      return
    }
    this.#queue.push(eventJson(event, new Date()))
    this.#posting ??= this.#postAll()
  }

  async close(): Promise<void> {
    const timer = setTimeout(() => this.#giveUp.abort(), this.#options.closeMs)
    await this.#posting
    clearTimeout(timer)
    const total = this.#lost + this.#queue.length
    if (total > 0) this.#context?.warn(`${this.#place}: ${total} of ${this.#taken} events were not delivered`)
  }

  async #postAll(): Promise<void> {
    for (let body = this.#queue[0]; body !== undefined; body = this.#queue[0]) {
      const problem = await this.#post(body)
      if (this.#giveUp.signal.aborted) break
      this.#queue.shift()
      if (problem !== null) this.#lose(problem)
    }
    this.#posting = undefined
  }

  /** @returns why the event could not be delivered; null when it was */
  async #post(body: string): Promise<string | null> {
    const { retries, backoffMs } = this.#options
    for (let attempt = 0; ; attempt++) {
      const { problem, final, waitMs } = await this.#attempt(body)
      if (problem === null || final || attempt === retries) return problem
      const pause = Math.min(longestWaitMs, Math.max(waitMs, backoffMs * 2 ** attempt))
      await sleep(pause, undefined, { signal: this.#giveUp.signal }).catch(() => {})
      if (this.#giveUp.signal.aborted) return problem
    }
  }

  async #attempt(body: string): Promise<{ problem: string | null; final: boolean; waitMs: number }> {
    const { timeoutMs } = this.#options
    const signal = AbortSignal.any([AbortSignal.timeout(timeoutMs), this.#giveUp.signal])
    try {
      const request = { method: 'POST', headers: this.#headers, body, signal, redirect: 'manual' } as const
      const { status, ok, headers, body: answer } = await fetch(this.#url, request)
      await answer?.cancel()
      const waitMs = 1000 * (Number(headers.get('retry-after')) || 0)
      return { problem: ok ? null : `the server answered ${status}`, final: !passing(status), waitMs }
    } catch (error) {
      return { problem: reasonOf(error, timeoutMs), final: false, waitMs: 0 }
    }
  }

  #lose(problem: string): void {
    this.#lost++
    if (this.#lost === 1)
      this.#context?.warn(`${this.#place}: an event was not delivered: ${problem}. The training goes on`)
  }

  get #place(): string {
    return `webhook ${this.#url.origin}`
  }
}

/** Without the message of `fetch`, which may hold the address. */
function reasonOf(error: unknown, timeoutMs: number): string {
  if (error instanceof Error && error.name === 'TimeoutError') return `no answer within ${timeoutMs / 1000} s`
  const cause = error instanceof Error ? error.cause : undefined
  const code = cause instanceof Error && 'code' in cause ? cause.code : undefined
  return typeof code === 'string' ? `no connection (${code})` : 'no connection'
}
