import { rm } from 'node:fs/promises'
import { request } from 'node:http'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type Dashboard, type DashboardOptions, startDashboard } from '../../lib/dashboard/dashboard.ts'
import type { RunSnapshot, RunUpdate } from '../../lib/dashboard/runState.ts'
import type { PreviewEvent } from '../../lib/train/events.ts'
import { logEvents } from '../../lib/train/logs/logEvents.ts'
import { IoError } from '../../lib/util/errors.ts'
import { fakeEvents } from '../cli/fakeTraining.ts'
import { hostilePrompt, previewEvents, startEvent, stepEvent } from '../support/scriptedRun.ts'

type State = RunSnapshot & { readonly lastId: string; readonly controls: readonly string[] }

let dashboard: Dashboard
let asked: string[]
const controls = {
  preview: () => void asked.push('preview'),
  save: () => void asked.push('save'),
  stop: () => void asked.push('stop'),
}
beforeEach(async () => {
  asked = []
  dashboard = await startDashboard({ controls, title: 'frogs & <toads>' })
})
afterEach(() => dashboard.close())

async function restart(options: DashboardOptions): Promise<void> {
  await dashboard.close()
  dashboard = await startDashboard(options)
}

async function state(): Promise<State> {
  return (await (await fetch(`${dashboard.url}state`)).json()) as State
}

async function token(): Promise<string> {
  return /name="dashboard-token" content="([\w-]+)"/.exec(await (await fetch(dashboard.url)).text())![1]!
}

interface Answered {
  readonly status: number
  readonly text: string
}

/** A request with headers that `fetch` would not send, and a path that it would tidy up. */
function raw(path: string, options: { method?: string; headers?: Record<string, string> } = {}): Promise<Answered> {
  const { hostname, port } = new URL(dashboard.url)
  return new Promise((resolve, reject) => {
    request({ hostname, port, path, ...options }, (response) => {
      let text = ''
      response.on('data', (part: Buffer) => {
        text += part.toString('utf8')
      })
      response.on('end', () => resolve({ status: response.statusCode!, text }))
    })
      .on('error', reject)
      .end()
  })
}

async function press(name: string, headers: Record<string, string> = {}): Promise<number> {
  const { origin, host } = new URL(dashboard.url)
  const all = { host, origin, 'x-dashboard-token': await token(), ...headers }
  return (await raw(`/control/${name}`, { method: 'POST', headers: all })).status
}

/** Follows the stream until it has sent so many messages: their ids and data. */
async function listen(count: number, after: string | null, headers: Record<string, string> = {}) {
  const query = after === null ? '' : `?after=${after}`
  const response = await fetch(`${dashboard.url}events${query}`, { headers })
  expect(response.headers.get('content-type')).toBe('text/event-stream')
  let text = ''
  const messages = () =>
    [...text.matchAll(/(?:id: (.*)\n|event: (.*)\n)data: (.*)\n\n/g)].map(([, id, event, data]) => ({
      id,
      event,
      data: JSON.parse(data!) as RunUpdate,
    }))
  const reader = response.body!.getReader()
  while (messages().length < count) {
    const { value, done } = await reader.read()
    if (done) break
    text += new TextDecoder().decode(value)
  }
  await reader.cancel()
  return messages().slice(0, count)
}

describe('the page', () => {
  it('comes with everything it needs, from the loopback address', async () => {
    expect(dashboard.url).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/$/)
    const response = await fetch(dashboard.url)
    const html = await response.text()
    expect(html).toContain('<title>frogs &amp; &lt;toads&gt;</title>')
    expect(html).not.toContain('<!-- ')
    expect(response.headers.get('content-security-policy')).toBe(
      "default-src 'none'; img-src 'self' data:; style-src 'self'; script-src 'self'; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    )
    const files = [...html.matchAll(/(?:src|href)="([^":]+)"/g)].map(([, file]) => file!)
    expect(files).toHaveLength(5)
    for (const file of files) {
      const answer = await fetch(dashboard.url + file)
      expect([file, answer.status]).toEqual([file, 200])
      expect(answer.headers.get('content-type')).toMatch(/^text\/(css|javascript)/)
    }
  })

  it('refuses a port that is taken', async () => {
    const port = Number(new URL(dashboard.url).port)
    await expect(startDashboard({ port })).rejects.toThrow(IoError)
  })

  it('has a token of its own in each training', async () => {
    const before = await token()
    await restart({ controls })
    expect(await token()).not.toBe(before)
  })
})

describe('the state', () => {
  it('is that of a training that has not begun', async () => {
    expect(await state()).toMatchObject({
      progress: { status: 'waiting', step: 0, secondsLeft: null },
      history: { columns: { step: [] } },
      previews: [],
      log: [],
      controls: ['preview', 'save', 'stop'],
    })
  })

  it('holds what a reloaded page needs', async () => {
    for await (const event of logEvents(fakeEvents(), [dashboard.sink])) {
      const { progress } = await state()
      if (event.type === 'cache') expect(progress).toMatchObject({ status: 'preparing', cache: { total: 2 } })
      if (event.type === 'step') expect(progress).toMatchObject({ status: 'training', step: event.step, cache: null })
    }
    const { progress, history, previews, log } = await state()
    expect(progress).toMatchObject({
      status: 'finished',
      step: 4,
      totalSteps: 4,
      epoch: 2,
      epochCount: 2,
      secondsLeft: 0,
    })
    expect(history.columns).toMatchObject({
      step: [1, 2, 3, 4],
      loss: [1, 0.5, 0.333333, 0.25],
      gradientNorm: [1, 1, 1, 1],
      'lr/unet': [1e-4, 1e-4, 1e-4, 1e-4],
    })
    expect(previews).toMatchObject([{ prompt: 'a frog', promptIndex: 0, step: 4 }])
    const types = log.map((entry) => ('event' in entry ? entry.event.type : entry.request))
    expect(types).toEqual(['warning', 'start', 'epochEnd', 'epochEnd', 'save', 'preview', 'end'])
  })

  it('says that a training failed which did not end', async () => {
    await dashboard.sink.event(startEvent(8))
    await dashboard.sink.close!()
    expect((await state()).progress.status).toBe('failed')
  })

  it('shows what is not finite as a gap', async () => {
    await dashboard.sink.event({ ...stepEvent(1, 8), loss: Number.NaN })
    await dashboard.sink.event(stepEvent(2, 8))
    expect((await state()).history.columns.loss![0]).toBe(null)
  })

  it('stays small in a training of 100,000 steps', async () => {
    for (let step = 1; step <= 100_000; step++) {
      await dashboard.sink.event(stepEvent(step, 100_000))
      if (step % 100 === 0) await dashboard.sink.event({ type: 'epochEnd', epoch: step / 100, averageLoss: 1 })
    }
    const { history, log } = await state()
    expect(history.columns.step!.length).toBeLessThanOrEqual(2000)
    expect(log).toHaveLength(500)
    expect((await (await fetch(`${dashboard.url}state`)).text()).length).toBeLessThan(500_000)
  })
})

describe('the stream', () => {
  it('sends what happens after the state', async () => {
    await dashboard.sink.event(startEvent(8))
    const { lastId } = await state()
    const listening = listen(2, lastId)
    await dashboard.sink.event(stepEvent(1, 8))
    await dashboard.sink.event({ type: 'epochEnd', epoch: 1, averageLoss: 1 })
    const [step, end] = await listening
    expect(step!.data).toMatchObject({ progress: { step: 1 }, row: { step: 1, gradientNorm: expect.any(Number) } })
    expect(end!.data.log).toMatchObject({ event: { type: 'epochEnd' } })
    expect((await state()).lastId).toBe(end!.id)
  })

  it('sends a page that comes back what it missed, and nothing twice', async () => {
    for (let step = 1; step <= 5; step++) await dashboard.sink.event(stepEvent(step, 8))
    const run = (await state()).lastId.split('-')[0]
    const missed = await listen(2, `${run}-0`, { 'last-event-id': `${run}-3` })
    expect(missed.map(({ id }) => id)).toEqual([`${run}-4`, `${run}-5`])
    expect(missed.map(({ data }) => data.row!.step)).toEqual([4, 5])
  })

  it('tells a page to begin anew that knows another training, or was away too long', async () => {
    for (let step = 1; step <= 1001; step++) await dashboard.sink.event(stepEvent(step, 2000))
    const run = (await state()).lastId.split('-')[0]
    for (const id of ['', 'x', '0123456789abcdef-3', `${run}-0`, `${run}-1002`, `${run}--1`, `${run}-1e1`])
      expect(await listen(1, encodeURIComponent(id)), id).toMatchObject([{ event: 'reset' }])
    expect(await listen(1, `${run}-1`)).toMatchObject([{ id: `${run}-2` }])
  })

  it('serves a bounded number of pages, and forgets those that leave', async () => {
    const { lastId } = await state()
    const open = await Promise.all(Array.from({ length: 32 }, () => fetch(`${dashboard.url}events?after=${lastId}`)))
    expect((await fetch(`${dashboard.url}events?after=${lastId}`)).status).toBe(503)
    await Promise.all(open.map(({ body }) => body!.cancel()))
    await expect
      .poll(async () => {
        const { status, body } = await fetch(`${dashboard.url}events?after=${lastId}`)
        await body?.cancel()
        return status
      })
      .toBe(200)
  })

  it('lets a page go that takes nothing up', async () => {
    const { lastId } = await state()
    const { body } = await fetch(`${dashboard.url}events?after=${lastId}`)
    const warning = { type: 'warning', message: 'x'.repeat(1 << 20) } as const
    for (let i = 0; i < 32; i++) await dashboard.sink.event(warning)
    const reader = body!.getReader()
    const readAll = async (): Promise<void> => {
      while (!(await reader.read()).done);
    }
    await expect(readAll()).rejects.toThrow()
    expect((await state()).progress.status).toBe('waiting')
  })
})

describe('the buttons', () => {
  it('do what they are for, and show that it was asked for', async () => {
    await dashboard.sink.event(startEvent(8))
    expect([await press('preview'), await press('save'), await press('save')]).toEqual([202, 202, 202])
    expect(asked).toEqual(['preview', 'save', 'save'])
    expect((await state()).progress.requested).toEqual(['preview', 'save'])
    expect((await state()).log.at(-1)).toMatchObject({ request: 'save', time: expect.any(String) })
    await dashboard.sink.event({ type: 'save', path: 'a', step: 1, epoch: 1, bytes: 1 })
    expect((await state()).progress.requested).toEqual(['preview'])
    await dashboard.sink.event({ type: 'end', reason: 'interrupted', step: 1, path: 'a' })
    expect((await state()).progress.requested).toEqual([])
  })

  it('are not there when nothing is given for them', async () => {
    await restart({ controls: { save: controls.save } })
    expect((await state()).controls).toEqual(['save'])
    expect([await press('stop'), await press('save')]).toEqual([404, 202])
  })

  it.each([
    ['no token', { 'x-dashboard-token': '' }],
    ['another token', { 'x-dashboard-token': 'a'.repeat(43) }],
    ['another origin', { origin: 'http://example.org' }],
    ['the origin of another port', { origin: 'http://127.0.0.1:1' }],
    ['an origin of no page', { origin: 'null' }],
    ['another host', { host: 'example.org' }],
    ['a host that begins well', { host: '127.0.0.1.example.org' }],
  ])('refuse %s', async (_, headers) => {
    expect(await press('stop', headers)).toBe(403)
    expect(asked).toEqual([])
  })

  it('work through a tunnel that has another port here', async () => {
    expect(await press('save', { host: 'localhost:9000', origin: 'http://localhost:9000' })).toBe(202)
  })
})

describe('hostile requests', () => {
  it('with another Host see nothing', async () => {
    for (const path of ['/', '/state', '/events', '/page.js'])
      expect(await raw(path, { headers: { host: 'example.org' } }), path).toMatchObject({ status: 403 })
  })

  it('reach no file but pictures by their ids', async () => {
    const [first] = (await previewEvents(1, 1)) as PreviewEvent[]
    await dashboard.sink.event(first!)
    const { previews } = await state()
    expect((await fetch(`${dashboard.url}preview/${previews[0]!.id}`)).headers.get('content-type')).toBe('image/png')
    const paths = ['/etc/passwd', '/../../../etc/passwd', '/preview/../package.json']
    const more = ['/preview/', `/preview${first!.path}`, `/preview/${encodeURIComponent(first!.path)}`, '/preview/x']
    for (const path of [...paths, ...more, '/%2e%2e/package.json', '/assets/page.css', '/preview/%00'])
      expect([path, (await raw(path)).status]).toEqual([path, 404])
    expect((await raw('//')).status).toBe(400)
    await rm(first!.path)
    expect((await fetch(`${dashboard.url}preview/${previews[0]!.id}`)).status).toBe(404)
  })

  it('with other methods do nothing', async () => {
    for (const method of ['PUT', 'DELETE', 'OPTIONS'])
      expect([method, (await raw('/control/stop', { method })).status]).toEqual([method, 405])
    expect((await raw('/control/stop')).status).toBe(404)
    expect(asked).toEqual([])
  })

  it('are not helped by prompts that look like HTML', async () => {
    await dashboard.sink.event({ type: 'warning', message: hostilePrompt })
    expect(await (await fetch(dashboard.url)).text()).not.toContain('frog on')
    const response = await fetch(`${dashboard.url}state`)
    expect(response.headers.get('content-type')).toBe('application/json')
    expect(response.headers.get('x-content-type-options')).toBe('nosniff')
  })
})
