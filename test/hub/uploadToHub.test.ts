import { rmSync, truncateSync } from 'node:fs'
import { mkdir, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeEach, describe, expect, it, vi } from 'vitest'
import { makeHubRepository, type UploadToHubOptions, uploadToHub } from '../../lib/hub/uploadToHub.ts'
import { ArgumentError, HubError, IoError } from '../../lib/util/errors.ts'
import { bytes, refuse } from './fakeHub.ts'
import { hubTests } from './hubTest.ts'

const test = hubTests()
const token = 'hf_secret'
/** A large file. */
const large = bytes(3_000_000, 4)
const options = (): UploadToHubOptions => ({ endpoint: test.hub.endpoint, token, retryDelayMs: 5 })

let folder: string
beforeEach(async () => {
  folder = join(test.cache, 'written')
  await mkdir(join(folder, 'state/inner'), { recursive: true })
  await writeFile(join(folder, 'notes.txt'), 'a small file')
  await writeFile(join(folder, 'empty.txt'), '')
  await writeFile(join(folder, 'frog.safetensors'), large)
  await writeFile(join(folder, 'state/manifest.json'), '{}')
  await writeFile(join(folder, 'state/inner/moments.safetensors'), large)
})

/** What the failure says; it must be of the hub. */
async function failureOf(upload: Promise<unknown>): Promise<HubError> {
  const error = await upload.then(
    () => undefined,
    (reason: unknown) => reason,
  )
  expect(error).toBeInstanceOf(HubError)
  return error as HubError
}

describe('an upload', () => {
  it.each(['notes.txt', 'empty.txt'])('of a small file goes into the commit itself: %s', async (name) => {
    test.hub.commit('org/name', { 'README.md': 'kept' })
    const { commit, files } = await uploadToHub(join(folder, name), 'org/name', options())
    expect(files).toEqual([name])
    expect(test.hub.uploads.commits).toEqual([{ repository: 'org/name', summary: `Upload ${name}`, paths: [name] }])
    expect(test.hub.repositories.get('org/name')!.refs.get('main')).toBe(commit)
    const content = name === 'empty.txt' ? '' : 'a small file'
    expect(test.hub.uploads.file('org/name', name)).toEqual({ content: Buffer.from(content), lfs: false })
    expect(test.hub.uploads.file('org/name', 'README.md')!.content.toString()).toBe('kept')
    expect(test.hub.uploads.puts).toEqual([])
  })

  it('of a large file is streamed to the store, with its length and without the token', async () => {
    test.hub.commit('org/name', { 'README.md': '' })
    const path = 'runs/one/frog.safetensors'
    await uploadToHub(join(folder, 'frog.safetensors'), 'org/name', { ...options(), path })
    expect(test.hub.uploads.file('org/name', path)!.content.equals(large)).toBe(true)
    const [headers, ...more] = test.hub.uploads.puts
    expect(more).toEqual([])
    expect(headers!['content-length']).toBe(String(large.length))
    expect(headers!['transfer-encoding']).toBeUndefined()
    for (const { host, authorization } of test.hub.requests)
      expect(authorization).toBe(host === 'hub' ? `Bearer ${token}` : undefined)
  })

  it('of a large file is sent in parts where the store asks for them', async () => {
    test.hub.commit('org/name', { 'README.md': '' })
    test.hub.uploads.partBytes = 1_000_001
    await uploadToHub(join(folder, 'frog.safetensors'), 'org/name', options())
    expect(test.hub.uploads.puts.map((headers) => headers['content-length']).sort()).toEqual([
      '1000001',
      '1000001',
      '999998',
    ])
    expect(test.hub.uploads.file('org/name', 'frog.safetensors')!.content.equals(large)).toBe(true)
  })

  it('of a file that the store has already sends it no second time', async () => {
    test.hub.commit('org/name', { 'README.md': '' })
    await uploadToHub(join(folder, 'frog.safetensors'), 'org/name', options())
    await uploadToHub(join(folder, 'frog.safetensors'), 'org/name', { ...options(), path: 'again.safetensors' })
    expect(test.hub.uploads.puts.length).toBe(1)
    expect(test.hub.uploads.file('org/name', 'again.safetensors')!.content.equals(large)).toBe(true)
  })

  it('of a folder is one commit with all its files', async () => {
    test.hub.commit('org/name', { 'README.md': '' })
    const { files } = await uploadToHub(join(folder, 'state'), 'org/name', { ...options(), path: 'runs/frog-state' })
    expect(files).toEqual(['runs/frog-state/inner/moments.safetensors', 'runs/frog-state/manifest.json'])
    expect(test.hub.uploads.commits.map(({ paths }) => paths)).toEqual([files])
    expect(test.hub.uploads.file('org/name', files[0]!)!.content.equals(large)).toBe(true)
    expect(test.hub.uploads.file('org/name', files[1]!)!.content.toString()).toBe('{}')
  })

  it('refuses folders that are empty or hold something else than files, and paths out of the repository', async () => {
    const empty = join(folder, 'nothing')
    await mkdir(empty)
    await expect(uploadToHub(empty, 'org/name', options())).rejects.toThrow(/found an empty folder/)
    await symlink('/etc/hostname', join(empty, 'link'))
    await expect(uploadToHub(empty, 'org/name', options())).rejects.toThrow(/link: expected a file/)
    await expect(uploadToHub(join(folder, 'gone'), 'org/name', options())).rejects.toBeInstanceOf(IoError)
    for (const path of ['../x', '/x', 'a//b', ''])
      await expect(uploadToHub(folder, 'org/name', { ...options(), path })).rejects.toBeInstanceOf(ArgumentError)
    await expect(uploadToHub(join(folder, 'state'), 'name', options())).rejects.toThrow(
      /repository must be org\/name, received "name"/,
    )
    expect(test.hub.requests).toEqual([])
  })
})

describe('a repository that is not there', () => {
  it.each([
    ['private', {}, 'private'],
    ['private on request', { visibility: 'private' }, 'private'],
    ['public on request', { visibility: 'public' }, 'public'],
  ] as const)('is made %s', async (_what, more, visibility) => {
    await uploadToHub(join(folder, 'notes.txt'), 'org/new', { ...options(), ...more })
    expect(test.hub.uploads.created).toEqual([{ name: 'new', organization: 'org', type: 'model', visibility }])
    expect(test.hub.uploads.file('org/new', 'notes.txt')).toBeDefined()
  })

  it('can be one of a data set or a space', async () => {
    for (const type of ['dataset', 'space'] as const)
      await uploadToHub(join(folder, 'frog.safetensors'), 'org/new', { ...options(), type })
    expect([...test.hub.repositories.keys()]).toEqual(['datasets/org/new', 'spaces/org/new'])
    expect(test.hub.uploads.file('datasets/org/new', 'frog.safetensors')).toBeDefined()
  })

  it('may have been made by somebody else meanwhile', async () => {
    test.hub.interfere = ({ path }) => {
      if (path === '/api/repos/create') test.hub.commit('org/new', {})
      return false
    }
    expect(await makeHubRepository('org/new', options())).toBe(false)
    test.hub.interfere = () => false
    expect(await makeHubRepository('org/new', options())).toBe(false)
    expect(await makeHubRepository('org/other', options())).toBe(true)
  })
})

describe('an upload that fails', () => {
  const upload = (more: UploadToHubOptions = {}): Promise<unknown> =>
    uploadToHub(join(folder, 'frog.safetensors'), 'org/name', { ...options(), ...more })

  it('for want of access says so, without the token', async () => {
    test.hub.commit('org/name', { 'README.md': '' })
    const wrong = await failureOf(upload({ token: 'hf_wrong' }))
    expect(wrong.message).toMatch(/answered 401: the token was refused/)
    expect(wrong.message).not.toContain('hf_wrong')
    const without = await failureOf(upload({ token: '' }))
    expect(without.message).toMatch(/needs an access token/)
    test.hub.interfere = ({ method }, response) => method === 'POST' && refuse(response, 403, '') === undefined
    const reading = await failureOf(upload())
    expect(reading.message).toMatch(/answered 403: the token may not write here. Make one with write access/)
    expect([wrong, without, reading].map(({ details }) => details.reason)).toEqual(['access', 'access', 'access'])
  })

  it.each([500, 503, 412, 429])('is tried again after %i', async (status) => {
    test.hub.commit('org/name', { 'README.md': '' })
    const failed = new Set<string>()
    test.hub.interfere = ({ path }, response) => {
      if (failed.has(path)) return false
      failed.add(path)
      response.writeHead(status).end()
      return true
    }
    await upload()
    expect(failed.size).toBe(5) // exists, preupload, batch, store, commit
    expect(test.hub.uploads.file('org/name', 'frog.safetensors')!.content.equals(large)).toBe(true)
  })

  it('by a connection that breaks off is begun again, and given up after the stated number of tries', async () => {
    test.hub.commit('org/name', { 'README.md': '' })
    let cuts = 2
    test.hub.interfere = ({ host }, response) => {
      if (host === 'hub' || cuts-- <= 0) return false
      response.socket!.destroy()
      return true
    }
    await upload()
    expect(test.hub.uploads.file('org/name', 'frog.safetensors')!.content.equals(large)).toBe(true)
    cuts = 100
    await writeFile(join(folder, 'frog.safetensors'), bytes(2_000_000, 9))
    const { message, details } = await failureOf(upload({ retries: 2 }))
    expect(message).toMatch(/^org\/name: cannot reach http:\/\/127.0.0.1:\d+ \(.*\). .*Tried 3 times.$/)
    expect(message).not.toMatch(/secret|OFFLINE/)
    expect(details.reason).toBe('network')
  })

  it('for a file that cannot be read names the file, and is not tried again', async () => {
    test.hub.commit('org/name', { 'README.md': '' })
    const file = join(folder, 'frog.safetensors')
    test.hub.uploads.partBytes = 1_000_000
    test.hub.interfere = ({ path }) => {
      if (path.includes('objects/batch')) rmSync(file, { force: true })
      return false
    }
    const failed = upload()
    await expect(failed).rejects.toBeInstanceOf(IoError)
    await expect(failed).rejects.toThrow(/frog.safetensors: cannot read: no such file/)
    expect(test.hub.uploads.commits).toEqual([])
  })

  it('for a file that changes meanwhile says so, and commits nothing', async () => {
    test.hub.commit('org/name', { 'README.md': '' })
    test.hub.interfere = ({ path }) => {
      if (path.includes('objects/batch')) truncateSync(join(folder, 'frog.safetensors'), 1000)
      return false
    }
    await expect(upload()).rejects.toThrow(/frog.safetensors: the file was changed while it was read/)
    expect(test.hub.uploads.commits).toEqual([])
  })

  it('repeats nothing of what the server says', async () => {
    test.hub.commit('org/name', { 'README.md': '' })
    const answers = ['<html>hf_secret</html>', '{"objects": [{"oid": "hf_secret"}]}', '{"commitOid": "hf_secret"}']
    for (const [at, stage] of ['preupload', 'objects/batch', 'commit'].entries()) {
      test.hub.interfere = ({ path }, response) => {
        if (!path.includes(stage)) return false
        response.setHeader('content-type', 'application/json')
        response.end(answers[at])
        return true
      }
      const { message } = await failureOf(upload())
      expect(message).toMatch(/gave an answer that cannot be used/)
      expect(message).not.toContain(token)
    }
  })

  it('is not begun where uploads are forbidden, and ends when it is aborted', async () => {
    vi.stubEnv('HF_HUB_OFFLINE', '1')
    expect((await failureOf(upload())).message).toMatch(/HF_HUB_OFFLINE forbids uploads/)
    vi.stubEnv('HF_HUB_OFFLINE', '')
    expect(test.hub.requests).toEqual([])
    test.hub.commit('org/name', { 'README.md': '' })
    const stop = new AbortController()
    test.hub.interfere = ({ host }) => {
      if (host === 'cdn') stop.abort(new Error('enough'))
      return host === 'cdn'
    }
    await expect(upload({ signal: stop.signal })).rejects.toThrow('enough')
  })

  it('never goes from https to a plain address', async () => {
    const { createHubFetch } = await import('../../lib/hub/hubFetch.ts')
    const connection = { id: 'org/name', token, signal: undefined, retries: 0, retryDelayMs: 1 }
    const fetch = createHubFetch({ ...connection, endpoint: 'https://hub.example' })
    await expect(fetch(test.hub.endpoint, { method: 'PUT', body: 'x' })).rejects.toThrow(/not used \(not https\)/)
    expect(test.hub.requests).toEqual([])
  })
})
