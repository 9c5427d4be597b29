import { access, mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeEach, describe, expect, it } from 'vitest'
import type { TrainEvent } from '../../../lib/train/events.ts'
import { type HubUploadSinkOptions, hubUploadSink } from '../../../lib/train/logs/hubUploadSink.ts'
import { logEvents } from '../../../lib/train/logs/logEvents.ts'
import type { LogSink } from '../../../lib/train/logs/logSink.ts'
import { ConfigError, HubError } from '../../../lib/util/errors.ts'
import { refuse } from '../../hub/fakeHub.ts'
import { hubTests } from '../../hub/hubTest.ts'

const test = hubTests()
const token = 'hf_secret'

let folder: string
beforeEach(async () => {
  folder = join(test.cache, 'out')
  await mkdir(join(folder, 'frog-state'), { recursive: true })
  for (const name of ['one', 'two', 'three', 'four']) await writeFile(join(folder, name), name)
  await writeFile(join(folder, 'frog-state/manifest.json'), '{}')
})

const sinkOf = (options: Partial<HubUploadSinkOptions> = {}): LogSink =>
  hubUploadSink({ repository: 'org/name', endpoint: test.hub.endpoint, token, retryDelayMs: 5, ...options })
const save = (name: string): TrainEvent => ({ type: 'save', path: join(folder, name), step: 1, epoch: 1, bytes: 3 })
const saveState = (): TrainEvent => ({ type: 'state', path: join(folder, 'frog-state'), step: 1, epoch: 1, bytes: 2 })
const end: TrainEvent = { type: 'end', reason: 'finished', step: 1, path: null }
const uploaded = (): string[] => test.hub.uploads.commits.flatMap(({ paths }) => paths)

/** A started sink and what it warns of. */
async function start(options: Partial<HubUploadSinkOptions> = {}): Promise<{ sink: LogSink; warnings: string[] }> {
  const warnings: string[] = []
  const sink = sinkOf(options)
  await sink.start!({ warn: (message) => warnings.push(message) })
  return { sink, warnings }
}

/** Lets nothing be uploaded before it is called. */
function holdUploads(): () => void {
  const held: (() => void)[] = []
  let open = false
  test.hub.interfere = ({ path }, response) => {
    if (open || !path.includes('preupload')) return false
    held.push(() => response.writeHead(503).end())
    return true
  }
  return () => {
    open = true
    for (const answer of held) answer()
  }
}

describe('hubUploadSink', () => {
  it('makes the repository at the start, and uploads each save before the training goes on', async () => {
    const { sink, warnings } = await start({ folder: '/runs/frog/' })
    expect(test.hub.uploads.created).toMatchObject([{ organization: 'org', name: 'name', visibility: 'private' }])
    for (const name of ['one', 'two']) {
      await sink.event(save(name))
      expect(test.hub.uploads.file('org/name', `runs/frog/${name}`)!.content.toString()).toBe(name)
    }
    await sink.event(saveState())
    await sink.event(end)
    await sink.close!()
    expect(uploaded()).toEqual(['runs/frog/one', 'runs/frog/two'])
    expect(warnings).toEqual([])
  })

  it('uploads states where they are asked for', async () => {
    const { sink } = await start({ states: true, visibility: 'public' })
    await sink.event(saveState())
    expect(uploaded()).toEqual(['frog-state/manifest.json'])
    expect(test.hub.uploads.created).toMatchObject([{ visibility: 'public' }])
  })

  it('lets the training go on in the background, keeps the order, and waits for all at the end', async () => {
    const { sink, warnings } = await start({ background: true })
    const release = holdUploads()
    for (const name of ['one', 'two', 'three']) await sink.event(save(name))
    expect(uploaded()).toEqual([])
    let ended = false
    const ending = Promise.resolve(sink.event(end)).then(() => {
      ended = true
    })
    await new Promise((done) => setTimeout(done, 20))
    expect(ended).toBe(false)
    release()
    await ending
    expect(uploaded()).toEqual(['one', 'two', 'three'])
    expect(warnings).toEqual([])
  })

  it('uploads a path that is saved again while it waits once, as it is then', async () => {
    const { sink } = await start({ background: true })
    const release = holdUploads()
    for (const name of ['one', 'two', 'two', 'three']) await sink.event(save(name))
    await writeFile(join(folder, 'two'), 'newer')
    await sink.event(save('two'))
    release()
    await sink.close!()
    expect(uploaded()).toEqual(['one', 'two', 'three'])
    expect(test.hub.uploads.file('org/name', 'two')!.content.toString()).toBe('newer')
  })

  it('leaves out the oldest that waits when too many do, and what was removed, and says so', async () => {
    const { sink, warnings } = await start({ background: true, queueLimit: 2 })
    const release = holdUploads()
    for (const name of ['one', 'two', 'three', 'four']) await sink.event(save(name))
    await sink.event({ type: 'remove', path: join(folder, 'three'), what: 'weights' })
    await sink.event({ type: 'remove', path: join(folder, 'zero'), what: 'weights' })
    release()
    await sink.event(end)
    expect(uploaded()).toEqual(['one', 'four'])
    expect(warnings).toEqual([
      `${join(folder, 'two')} was saved, but not uploaded: 2 others were waiting`,
      `${join(folder, 'three')} was saved, but not uploaded: it was removed before its turn came`,
    ])
  })

  it('makes one warning of each upload that fails, leaves the files, and the training goes on', async () => {
    let failures = 0
    test.hub.interfere = ({ path }, response) => {
      if (!path.includes('preupload') || failures++ >= 2) return false
      response.writeHead(failures === 1 ? 500 : 403).end()
      return true
    }
    const events = async function* (): AsyncGenerator<TrainEvent> {
      yield { type: 'epoch', epoch: 1, epochCount: 1 }
      for (const name of ['one', 'two', 'gone', 'three']) yield save(name)
      yield end
    }
    const seen: TrainEvent[] = []
    for await (const event of logEvents(events(), [sinkOf({ retries: 0 })])) seen.push(event)
    const warnings = seen.flatMap((event) => (event.type === 'warning' ? [event.message] : []))
    expect(warnings.length).toBe(3)
    expect(warnings[0]).toMatch(/one was saved, but not uploaded: org\/name: .*\/preupload\/main answered 500/)
    expect(warnings[1]).toMatch(
      /two was saved, but not uploaded: org\/name: .* answered 403: the token may not write here/,
    )
    expect(warnings[2]).toMatch(/gone was saved, but not uploaded: .*no such file/)
    expect(seen.at(-1)).toEqual(end)
    expect(warnings.join()).not.toContain(token)
    expect(uploaded()).toEqual(['three'])
    for (const name of ['one', 'two']) await access(join(folder, name))
  })

  it('ends the training at its start when the hub refuses, and not when it cannot be reached', async () => {
    const refused = start({ token: 'hf_wrong' })
    await expect(refused).rejects.toBeInstanceOf(HubError)
    await expect(refused).rejects.toThrow(/answered 401/)
    await expect(refused).rejects.not.toThrow(/hf_wrong/)
    await expect(start({ token: '' })).rejects.toThrow(/needs an access token/)
    test.hub.interfere = (_, response) => refuse(response, 503, '') === undefined
    const { sink, warnings } = await start({ retries: 0 })
    expect(warnings).toEqual([expect.stringMatching(/answered 503: .* Each save tries again to upload$/)])
    test.hub.interfere = () => false
    await sink.event(save('one'))
    expect(test.hub.uploads.created.length).toBe(1)
    expect(uploaded()).toEqual(['one'])
  })

  it('refuses names that the hub cannot have before anything begins', () => {
    expect(() => sinkOf({ repository: 'name' })).toThrow('--huggingface_repo_id must be owner/name, found "name"')
    expect(() => sinkOf({ folder: '../x' })).toThrow(/--huggingface_path_in_repo must be a folder/)
    expect(() => sinkOf({ repository: 'a/b/c' })).toThrow(ConfigError)
    expect(test.hub.requests).toEqual([])
  })
})
