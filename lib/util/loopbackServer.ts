/** Pages for the browsers of this machine. */
import type { IncomingMessage, OutgoingHttpHeaders, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { IoError, NoisewrightError } from './errors.ts'

export interface LoopbackServer {
  /** `http://127.0.0.1:<port>/`. */
  readonly url: string
  /** Ends open connections too. */
  close(): Promise<void>
}

export interface LoopbackOptions {
  /** 0: any free one. */
  readonly port: number
  /** What pages may load, as the header says it. Other pages may embed none of them in any case. */
  readonly contentSecurityPolicy: string
}

export interface Answer {
  /** Default: 200. */
  readonly status?: number
  readonly type: string
  readonly body: string | Uint8Array
  /** Beside those that every answer has. */
  readonly headers?: OutgoingHttpHeaders
}

/** Answers a request, or takes the response over and returns null. Headers that are set already are part of it. */
export type Handler = (request: IncomingMessage, response: ServerResponse) => Promise<Answer | null>

/** Serves pages on the loopback address. @throws IoError when the port is taken */
export async function serveLoopback(
  handle: Handler,
  { port, contentSecurityPolicy }: LoopbackOptions,
): Promise<LoopbackServer> {
  const headers = {
    'cache-control': 'no-store',
    'content-security-policy': `default-src 'none'; ${contentSecurityPolicy}; frame-ancestors 'none'; base-uri 'none'; form-action 'none'`,
    'referrer-policy': 'no-referrer',
    'x-content-type-options': 'nosniff',
  }
  const { createServer } = await import('node:http') // 20 ms, that not every program has to wait for
  const server = createServer((request, response) => {
    for (const [name, value] of Object.entries(headers)) response.setHeader(name, value)
    void answerOf(handle, request, response).then((answer) => {
      if (answer !== null) send(response, answer)
    })
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

async function answerOf(handle: Handler, request: IncomingMessage, response: ServerResponse): Promise<Answer | null> {
  // A page elsewhere may point a name of its own at this address; it cannot make the browser send another Host.
  if (!/^(127\.0\.0\.1|localhost)(:\d+)?$/.test(request.headers.host ?? '')) return refusal(403, 'wrong host')
  if (!URL.canParse(request.url ?? '', 'http://127.0.0.1')) return refusal(400, 'not an address')
  try {
    return await handle(request, response)
  } catch (error) {
    return refusal(error instanceof NoisewrightError ? 400 : 500, (error as Error).message)
  }
}

function send(response: ServerResponse, { status = 200, type, body, headers = {} }: Answer): void {
  response.writeHead(status, { 'content-type': type, ...headers })
  response.end(body)
}

export function refusal(status: number, reason: string): Answer {
  return jsonAnswer({ error: reason }, status)
}

export function jsonAnswer(value: unknown, status = 200): Answer {
  return { status, type: 'application/json', body: JSON.stringify(value) }
}
