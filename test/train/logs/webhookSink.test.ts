import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import type { TrainEvent } from '../../../lib/train/events.ts'
import { type WebhookSinkOptions, webhookSink } from '../../../lib/train/logs/webhookSink.ts'

interface Posted {
  readonly path: string
  readonly headers: IncomingMessage['headers']
  readonly body: Record<string, unknown>
}

let server: Server | undefined
afterEach(() => {
  server?.close()
  server?.closeAllConnections()
})

/** A server on this machine; `answer` gets each request when it is complete, with its number from 1. */
async function serve(answer: (response: ServerResponse, count: number) => void): Promise<{
  readonly url: string
  readonly posted: Posted[]
}> {
  const posted: Posted[] = []
  server = createServer((request, response) => {
    const parts: Buffer[] = []
    request.on('data', (part: Buffer) => parts.push(part))
    request.on('end', () => {
      expect(request.method).toBe('POST')
      const body = JSON.parse(Buffer.concat(parts).toString('utf8')) as Posted['body']
      posted.push({ path: request.url!, headers: request.headers, body })
      answer(response, posted.length)
    })
  })
  await new Promise<void>((resolve) => server!.listen(0, '127.0.0.1', resolve))
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/hooks/secret?key=secret`, posted }
}

const warning = (message: string): TrainEvent => ({ type: 'warning', message })

/** Gives events to a sink, closes it, and returns what it warned of. */
async function post(url: string, events: readonly TrainEvent[], options: WebhookSinkOptions = {}): Promise<string[]> {
  const warnings: string[] = []
  const sink = webhookSink(url, { backoffMs: 1, ...options })
  await sink.start?.({ warn: (message) => warnings.push(message) })
  for (const event of events) await sink.event(event)
  await sink.close?.()
  return warnings
}

const answering = (status: number, headers: Record<string, string> = {}) => {
  return (response: ServerResponse): void => void response.writeHead(status, headers).end('an answer')
}

describe('webhookSink', () => {
  it('posts the main events in order, as JSON with their time', async () => {
    const { url, posted } = await serve(answering(204))
    const epochEnd = { type: 'epochEnd', epoch: 1, averageLoss: 0.5 } as const
    const passedOver = { type: 'epoch', epoch: 1, epochCount: 2 } as const
    expect(await post(url, [warning('ä'), passedOver, epochEnd])).toEqual([])
    expect(posted.map(({ body }) => body)).toEqual([
      { time: expect.stringMatching(/^\d{4}-.*Z$/), ...warning('ä') },
      { time: expect.any(String), ...epochEnd },
    ])
    expect(posted[0]).toMatchObject({
      path: '/hooks/secret?key=secret',
      headers: { 'content-type': 'application/json' },
    })
  })

  it('posts the types that are asked for', async () => {
    const { url, posted } = await serve(answering(200))
    await post(url, [warning('w'), { type: 'epoch', epoch: 1, epochCount: 2 }], { events: ['epoch'] })
    expect(posted.map(({ body }) => body.type)).toEqual(['epoch'])
  })

  it('sends a name and a password of the address as the header they stand for', async () => {
    const { url, posted } = await serve(answering(200))
    expect(await post(url.replace('http://', 'http://frog:p%40ss@'), [warning('w')])).toEqual([])
    expect(posted[0]!.headers.authorization).toBe(`Basic ${Buffer.from('frog:p@ss').toString('base64')}`)
  })

  it.each([408, 429, 500, 503])('tries again after %i until the event is taken', async (status) => {
    const { url, posted } = await serve((response, count) => answering(count < 4 ? status : 200)(response))
    expect(await post(url, [warning('a'), warning('b')])).toEqual([])
    expect(posted.map(({ body }) => body.message)).toEqual(['a', 'a', 'a', 'a', 'b'])
  })

  it('gives an event up after its retries, warns once, and tells the number at the end', async () => {
    const { url, posted } = await serve(answering(500))
    const warnings = await post(url, [warning('a'), warning('b'), warning('c')], { retries: 2 })
    expect(posted).toHaveLength(9)
    const { origin } = new URL(url)
    expect(warnings).toEqual([
      `webhook ${origin}: an event was not delivered: the server answered 500. The training goes on`,
      `webhook ${origin}: 3 of 3 events were not delivered`,
    ])
  })

  it.each([
    [404, {}],
    [302, { location: '/elsewhere' }],
  ])('does not insist on %i, and follows no redirection', async (status, headers) => {
    const { url, posted } = await serve(answering(status, headers))
    expect((await post(url, [warning('a')]))[0]).toContain(`the server answered ${status}`)
    expect(posted).toHaveLength(1)
  })

  it('waits as long as the server asks', async () => {
    const { url, posted } = await serve((response, count) =>
      answering(count === 1 ? 429 : 200, { 'retry-after': '3600' })(response),
    )
    const [warned] = await post(url, [warning('a')], { closeMs: 50 })
    expect(posted).toHaveLength(1)
    expect(warned).toContain('1 of 1 events were not delivered')
  })

  it('never shows the address beyond the server, whatever fails', async () => {
    const { url } = await serve((response) => response.destroy())
    const broken = await post(url, [warning('a')], { retries: 0 })
    server!.close()
    server!.closeAllConnections()
    const closed = await post(url.replace('http://', 'http://secret:secret@'), [warning('a')], { retries: 0 })
    for (const [first] of [broken, closed]) {
      expect(first).toContain('no connection (')
      expect(first).not.toContain('secret')
    }
    expect(closed[0]).toContain('ECONNREFUSED')
  })

  it('gives a server that hangs its time and not more', async () => {
    const { url, posted } = await serve(() => {})
    const warnings = await post(url, [warning('a')], { timeoutMs: 20, retries: 1 })
    expect(warnings[0]).toContain('no answer within 0.02 s')
    expect(posted).toHaveLength(2)
  })

  it('never holds the training up: a bounded number of events waits, and closing gives up', async () => {
    const { url, posted } = await serve(() => {})
    const events = Array.from({ length: 10 }, (_, i) => warning(`${i}`))
    const warnings = await post(url, events, { queueLimit: 4, closeMs: 20 })
    expect(posted.length).toBeLessThanOrEqual(1)
    expect(warnings[0]).toContain('4 others are waiting already')
    expect(warnings[1]).toContain('10 of 10 events were not delivered')
  })

  it('takes events again after a pause in which it had nothing to do', async () => {
    const { url, posted } = await serve(answering(200))
    const sink = webhookSink(url)
    await sink.event(warning('a'))
    await expect.poll(() => posted.length).toBe(1)
    await new Promise((resolve) => setTimeout(resolve, 20))
    await sink.event(warning('b'))
    await sink.close?.()
    expect(posted.map(({ body }) => body.message)).toEqual(['a', 'b'])
  })
})
