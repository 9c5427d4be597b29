import { setTimeout as sleep } from 'node:timers/promises'
import { HubError } from '../util/errors.ts'

export interface HubFetchOptions {
  /** What was asked for, to begin messages with: `org/name@main`. */
  readonly id: string
  /** The hub's address, without a slash at its end. */
  readonly endpoint: string
  readonly token: string | undefined
  readonly signal: AbortSignal | undefined
  /** How often a request is tried again after 429, 5xx or no answer. */
  readonly retries: number
  /** The first pause; each following one is twice as long. */
  readonly retryDelayMs: number
}

const MAX_REDIRECTS = 10
/** Nothing sent and no answer for so long counts as no connection. */
const ANSWER_TIMEOUT_MS = 60_000
const MAX_PAUSE_MS = 60_000

/** `fetch` for one hub. */
export type HubFetch = (input: string | URL | Request, init?: RequestInit) => Promise<Response>

/**
 * Makes a `fetch` that answers with a success or throws. It sends the token to the hub's own origin only, whatever a redirect or a
 * `Link` header says; it tries again after 429, 5xx and lost connections, waiting as long as `Retry-After` asks (a minute at most).
 * A `Blob` as the body is read piece by piece, anew for each try, and is not redirected.
 *
 * @throws HubError that says what to do, for every other answer; what `signal`, or that of the request, was aborted with; what
 *   reading a `Blob` failed with
 */
export function createHubFetch(options: HubFetchOptions): HubFetch {
  const { id, retries, retryDelayMs } = options
  return async (input, init = {}) => {
    const url = new URL(input instanceof Request ? input.url : input)
    if (leavesHttps(new URL(options.endpoint), url)) throw unsafeAddress(id, url)
    const writes = (init.method ?? 'GET') !== 'GET'
    const signals = [options.signal, init.signal].filter((each) => each instanceof AbortSignal)
    const signal = signals.length > 1 ? AbortSignal.any(signals) : signals[0]
    for (let attempt = 0; ; attempt++) {
      signal?.throwIfAborted()
      const answer = await follow(url, init, { ...options, signal }).catch((error: unknown) => {
        signal?.throwIfAborted()
        if (error instanceof UnreadableBody) throw error.cause
        if (error instanceof HubError) throw error
        return noConnection(id, url, writes, error)
      })
      if (answer instanceof Response && answer.ok) return answer
      const error = answer instanceof Response ? refusal(answer, url, writes, options) : answer
      const passing = ['network', 'rateLimited', 'server'].includes(error.details.reason)
      if (!passing || attempt >= retries) {
        if (!passing || retries === 0) throw error
        throw new HubError(id, `${withoutId(error)} Tried ${retries + 1} times.`, error.details, { cause: error })
      }
      const asked = answer instanceof Response ? Number(answer.headers.get('retry-after') ?? 0) : 0
      const pause = Math.max(retryDelayMs * 2 ** attempt, (asked || 0) * 1000)
      await sleep(Math.min(pause, MAX_PAUSE_MS), undefined, signal ? { signal } : {}).catch((cause: unknown) => {
        signal?.throwIfAborted()
        throw cause
      })
    }
  }
}

/** A URL as messages show it: a CDN's query holds a signature. */
export function shownUrl(url: URL): string {
  return url.origin + url.pathname
}

/** One request, through its redirects. */
async function follow(start: URL, init: RequestInit, options: HubFetchOptions): Promise<Response> {
  const { id, endpoint, token, signal } = options
  const home = new URL(endpoint).origin
  let url = start
  for (let hops = 0; hops <= MAX_REDIRECTS; hops++) {
    const headers = new Headers(init.headers)
    headers.delete('authorization')
    if (token !== undefined && url.origin === home) headers.set('authorization', `Bearer ${token}`)
    headers.set('user-agent', 'noisewright')
    // What is written and counted must be the file's own bytes.
    headers.set('accept-encoding', 'identity')
    const response = await answerOf(url, { ...init, headers, redirect: 'manual' }, signal)
    const location = response.headers.get('location')
    if (response.status < 300 || response.status > 399 || location === null) return response
    void response.body?.cancel().catch(() => {})
    if (!URL.canParse(location, url.href)) throw unsafeRedirect(id, url)
    const next = new URL(location, url)
    if (leavesHttps(url, next)) throw unsafeRedirect(id, url)
    url = next
  }
  const details = { reason: 'answer', url: shownUrl(start) } as const
  throw new HubError(id, `${details.url} was redirected more than ${MAX_REDIRECTS} times.`, details)
}

function leavesHttps(from: URL, to: URL): boolean {
  return (from.protocol === 'https:' && to.protocol !== 'https:') || !/^https?:$/.test(to.protocol)
}

/** The answer's headers, or a failure after a minute in which nothing moved. Both bodies may take as long as they need. */
async function answerOf(url: URL, init: RequestInit, signal: AbortSignal | undefined): Promise<Response> {
  const stop = new AbortController()
  const timer = setTimeout(
    () => stop.abort(new Error(`no answer for ${ANSWER_TIMEOUT_MS / 1000} s`)),
    ANSWER_TIMEOUT_MS,
  )
  const forward = (): void => stop.abort(signal?.reason)
  signal?.addEventListener('abort', forward, { once: true })
  try {
    signal?.throwIfAborted()
    return await fetch(url, { ...init, ...streamed(init, () => timer.refresh()), signal: stop.signal })
  } catch (error) {
    // What a body threw comes as the cause of a network error.
    const { cause } = error as Error
    throw cause instanceof UnreadableBody ? cause : error
  } finally {
    clearTimeout(timer)
    signal?.removeEventListener('abort', forward)
  }
}

/** A file that is to be sent could not be read: its `cause`. */
class UnreadableBody extends Error {}

/**
 * A `Blob` as the body, with its length, which stores of large files insist on, read as fast as it is sent.
 * @param onPiece called when another piece leaves
 */
function streamed({ body, headers }: RequestInit, onPiece: () => void): RequestInit {
  if (!(body instanceof Blob)) return {}
  const pieces = async function* (): AsyncGenerator<Uint8Array> {
    try {
      for await (const piece of body.stream()) {
        onPiece()
        yield piece
      }
    } catch (cause) {
      throw new UnreadableBody('the body cannot be read', { cause })
    }
  }
  const withLength = new Headers(headers)
  withLength.set('content-length', String(body.size))
  // A request that cannot be redirected, with no window: for any other, Node's fetch keeps a copy of the whole body in memory.
  return { body: pieces(), headers: withLength, duplex: 'half', redirect: 'error', window: null }
}

function unsafeAddress(id: string, url: URL): HubError {
  const details = { reason: 'answer', url: shownUrl(url) } as const
  return new HubError(id, `the hub names an address that is not used (not https): ${details.url}.`, details)
}

function unsafeRedirect(id: string, url: URL): HubError {
  const details = { reason: 'answer', url: shownUrl(url) } as const
  return new HubError(id, `${details.url} redirects to an address that is not followed (not https).`, details)
}

function noConnection(id: string, url: URL, writes: boolean, error: unknown): HubError {
  const { cause = error } = error as Error
  const { code, message } = cause as Error & { code?: unknown }
  const why = typeof code === 'string' ? code : message
  const without = writes ? '' : '; with HF_HUB_OFFLINE=1 only the cache is used'
  const advice = `Check the network and HF_ENDPOINT${without}.`
  const text = `cannot reach ${url.origin} (${why}). ${advice}`
  return new HubError(id, text, { reason: 'network', url: shownUrl(url) }, { cause: error })
}

/** What an answer without success means and what to do. Texts of the server are not repeated: they could hold anything. */
function refusal(response: Response, url: URL, writes: boolean, options: HubFetchOptions): HubError {
  const { id, endpoint, token } = options
  const { status, headers } = response
  const code = headers.get('x-error-code')
  const page = `${endpoint}/${id.replace(/@.*/s, '')}`
  const make = (reason: HubError['details']['reason'], text: string): HubError =>
    new HubError(id, `${shownUrl(url)} answered ${status}: ${text}`, { reason, url: shownUrl(url), status })
  void response.body?.cancel().catch(() => {})
  if (code === 'GatedRepo') {
    const then = token === undefined ? 'then set HF_TOKEN to a token of that account' : 'with the account of your token'
    return make('gated', `the licence has to be accepted. Open ${page} in a browser and accept it, ${then}.`)
  }
  if (code === 'RevisionNotFound')
    return make('notFound', 'there is no such branch, tag or commit. Check the revision.')
  if (code === 'EntryNotFound') return make('notFound', 'the repository has no such file.')
  if (status === 401)
    return token === undefined
      ? make('access', 'no such repository, or a private one. Check the spelling; for a private one set HF_TOKEN.')
      : make('access', 'the token was refused, or there is no such repository. Check the spelling and HF_TOKEN.')
  if (status === 403 && writes)
    return make('access', `the token may not write here. Make one with write access at ${endpoint}/settings/tokens.`)
  if (status === 403)
    return make('access', `the token may not read this. Set HF_TOKEN to one that may, or ask for access at ${page}.`)
  if (status === 404 || status === 410)
    return make('notFound', 'there is no such repository or revision. Check the spelling and the revision.')
  if (status === 429) return make('rateLimited', 'too many requests. Wait a few minutes, or set HF_TOKEN.')
  if (status === 412) return make('server', 'somebody else committed at the same time. Try again.')
  if (status >= 500) return make('server', 'the hub has a fault of its own. Try again later.')
  return make('answer', 'an answer that this request cannot have. Check HF_ENDPOINT.')
}

function withoutId(error: HubError): string {
  return error.message.slice(error.id.length + 2)
}
