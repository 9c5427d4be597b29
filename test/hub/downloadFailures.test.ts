import { spawn } from 'node:child_process'
import { readdir, stat, truncate, writeFile } from 'node:fs/promises'
import { describe, expect, it } from 'vitest'
import { resolveHubModel } from '../../lib/hub/resolveHubModel.ts'
import { CheckpointError, HubError, IoError } from '../../lib/util/errors.ts'
import { bytes, diffusersRepository, etagOf, refuse } from './fakeHub.ts'
import { hubTests } from './hubTest.ts'

const test = hubTests()
const big = bytes(3_000_000, 10)
const bigEtag = etagOf({ content: big, lfs: true })
const one = 'org/name/big.safetensors'
const contentRequests = () => test.hub.requests.filter(({ host }) => host === 'cdn')

describe('a dropped connection', () => {
  it('is taken up where it stopped', async () => {
    test.hub.commit('org/name', { 'big.safetensors': big })
    test.hub.cuts.push(1_200_000, 700_000)
    const { path } = await resolveHubModel(one, test.options)
    expect((await stat(path)).size).toBe(big.length)
    const served = contentRequests()
    expect(served.length).toBe(3)
    expect(served[0]!.range).toBeUndefined()
    expect(Number(/^bytes=(\d+)-$/.exec(served[1]!.range!)![1])).toBeGreaterThan(0)
    // What the hub sent and the socket lost is asked for again; nothing else is.
    const sent = served.reduce((sum, { bytes }) => sum + bytes, 0)
    const asked = served.slice(1).map(({ range }) => Number(/\d+/.exec(range!)![0]))
    expect(sent).toBe(1_200_000 + 700_000 + big.length - asked[1]!)
    expect(sent).toBeLessThan(1.5 * big.length)
  })

  it('is given up after the stated number of tries, and continued by the next call', async () => {
    test.hub.commit('org/name', { 'big.safetensors': big })
    test.hub.cuts.push(100_000, 100_000, 100_000)
    const failed = resolveHubModel(one, { ...test.options, retries: 2 })
    await expect(failed).rejects.toThrow(/broke 3 times .*; \d+ of 3000000 bytes of big.safetensors are kept/)
    await expect(failed).rejects.toMatchObject({ details: { reason: 'network' } })
    expect(await test.blobs()).toEqual([`${bigEtag}.incomplete`])
    const kept = (await stat(test.repository('blobs', `${bigEtag}.incomplete`))).size
    expect(kept).toBeGreaterThan(0)
    test.hub.requests.length = 0
    await resolveHubModel(one, test.options)
    expect(contentRequests().map(({ range, bytes }) => [range, bytes])).toEqual([[`bytes=${kept}-`, big.length - kept]])
    expect(await test.blobs()).toEqual([bigEtag])
  })

  it('starts over when what was kept is wrong or too long, or the server has no ranges', async () => {
    test.hub.commit('org/name', { 'big.safetensors': big })
    const part = test.repository('blobs', `${bigEtag}.incomplete`)
    await resolveHubModel(one, test.options)
    const { rename, rm } = await import('node:fs/promises')
    for (const kept of [bytes(500_000, 99), Buffer.alloc(big.length + 5), bytes(big.length, 98)]) {
      await rm(test.repository('snapshots'), { recursive: true })
      await rename(test.repository('blobs', bigEtag), part)
      await truncate(part, 0)
      await writeFile(part, kept)
      await resolveHubModel(one, test.options)
      expect(await test.blobs()).toEqual([bigEtag])
    }
    await rm(test.repository('snapshots'), { recursive: true })
    await rm(test.repository('blobs', bigEtag))
    await writeFile(part, big.subarray(0, 1_000_000))
    test.hub.interfere = (seen, response) => {
      if (seen.host !== 'cdn') return false
      response.end(big)
      return true
    }
    await resolveHubModel(one, test.options)
    expect(await test.blobs()).toEqual([bigEtag])
  })
})

describe('content that is not what the hub lists', () => {
  it('is removed, and the file, both hashes and the advice are named', async () => {
    test.hub.commit('org/name', diffusersRepository())
    test.hub.forged.set('unet/diffusion_pytorch_model.safetensors', bytes(3_000_000, 77))
    const failed = resolveHubModel('org/name', test.options)
    await expect(failed).rejects.toBeInstanceOf(CheckpointError)
    await expect(failed).rejects.toThrow(
      new RegExp(
        `unet/diffusion_pytorch_model.safetensors: expected 3000000 bytes with SHA-256 ${bigEtag}, received 3000000`,
      ),
    )
    expect((await test.blobs()).filter((name) => name.startsWith(bigEtag))).toEqual([])
    await expect(stat(test.repository('snapshots'))).rejects.toThrow(/ENOENT/)
    await expect(stat(test.repository('refs'))).rejects.toThrow(/ENOENT/)
  })

  it('is found in small files too, by the hash of git', async () => {
    test.hub.commit('org/name', diffusersRepository())
    test.hub.forged.set('unet/config.json', Buffer.from('{"sample_size": 65}'))
    await expect(resolveHubModel('org/name', test.options)).rejects.toThrow(
      /unet\/config.json: .* git SHA-1 [0-9a-f]{40}/,
    )
  })

  it('is not written beyond the listed size', async () => {
    test.hub.commit('org/name', { 'big.safetensors': big })
    test.hub.forged.set('big.safetensors', bytes(9_000_000, 10))
    await expect(resolveHubModel(one, test.options)).rejects.toThrow(/sends more than the 3000000 bytes/)
    expect((await stat(test.repository('blobs', `${bigEtag}.incomplete`))).size).toBe(0)
  })
})

describe('a listing', () => {
  const entry = { type: 'file', size: 1, oid: 'a'.repeat(40) }
  it.each([
    ['a way up', { ...entry, path: '../../outside.json' }, /unsafe name, "..\/..\/outside.json"/],
    ['an absolute name', { ...entry, path: '/tmp/outside.json' }, /unsafe name/],
    ['a backslash', { ...entry, path: 'a\\..\\b' }, /unsafe name/],
    ['a control character', { ...entry, path: 'a\u0007' }, /unsafe name/],
    ['a hash that is a path', { ...entry, path: 'a', oid: '../../x' }, /gives a the hash "..\/..\/x"/],
    ['a negative size', { ...entry, path: 'a', size: -1 }, /the size -1/],
    ['no name', { ...entry }, /unsafe name, nothing/],
  ])('with %s is refused before anything is written', async (_, extra, message) => {
    test.hub.commit('org/name', diffusersRepository())
    test.hub.extraEntries.push(extra)
    await expect(resolveHubModel('org/name', test.options)).rejects.toThrow(message)
    await expect(stat(test.repository())).rejects.toThrow(/ENOENT/)
  })

  it('with more bytes than the disk has is refused before they are fetched', async () => {
    test.hub.commit('org/name', diffusersRepository())
    const path = 'text_encoder/model.safetensors'
    const lfs = { oid: 'b'.repeat(64), size: Number.MAX_SAFE_INTEGER - 1, pointerSize: 130 }
    test.hub.extraEntries.push({ ...entry, path, lfs })
    await expect(resolveHubModel('org/name', test.options)).rejects.toThrow(
      /bytes have to be downloaded, but the disk has/,
    )
    await expect(resolveHubModel('org/name', test.options)).rejects.toBeInstanceOf(IoError)
    expect(test.hub.contents()).toEqual(['model_index.json'])
  })

  it('that is not one, or a commit that is none, is refused', async () => {
    test.hub.interfere = (_, response) => response.end('<html>login</html>') !== undefined
    const failed = resolveHubModel('org/name', test.options)
    await expect(failed).rejects.toThrow(/gave an answer that cannot be used/)
    await expect(failed).rejects.toMatchObject({ name: 'HubError', details: { reason: 'answer' } })
    test.hub.interfere = (_, response) => response.end('{"sha": "../../main"}') !== undefined
    await expect(resolveHubModel('org/name', test.options)).rejects.toThrow(
      /expected a commit .*, received "..\/..\/main"/,
    )
  })
})

describe('an answer of the hub', () => {
  it.each([
    [401, '', 'access', /answered 401: no such repository, or a private one.* set HF_TOKEN/],
    [403, 'GatedRepo', 'gated', /licence has to be accepted. Open http:\S+\/org\/name in a browser.* set HF_TOKEN/],
    [403, '', 'access', /answered 403: the token may not read this/],
    [404, 'RepoNotFound', 'notFound', /answered 404: there is no such repository/],
    [404, 'RevisionNotFound', 'notFound', /no such branch, tag or commit/],
    [400, '', 'answer', /answered 400/],
  ])('%i %s says what to do and is not asked again', async (status, code, reason, message) => {
    test.hub.interfere = (_, response) => {
      refuse(response, status, code)
      return true
    }
    const failed = resolveHubModel('org/name', test.options)
    await expect(failed).rejects.toThrow(message)
    await expect(failed).rejects.toMatchObject({ id: 'org/name@main', details: { reason, status } })
    await expect(failed).rejects.toMatchObject({
      details: { url: `${test.hub.endpoint}/api/models/org/name/revision/main` },
    })
    expect(test.hub.requests.length).toBe(1)
  })

  it.each([
    [429, 'rateLimited', /answered 429: too many requests.* Tried 3 times/],
    [503, 'server', /answered 503: the hub has a fault of its own.* Tried 3 times/],
  ])('%i is asked again, and reported when it stays', async (status, reason, message) => {
    test.hub.interfere = (_, response) => {
      refuse(response, status, '')
      return true
    }
    const failed = resolveHubModel('org/name', { ...test.options, retries: 2 })
    await expect(failed).rejects.toThrow(message)
    await expect(failed).rejects.toMatchObject({ details: { reason, status } })
    expect(test.hub.requests.length).toBe(3)
  })

  it('429 and 502 now and then do not stop a download; Retry-After is waited for', async () => {
    test.hub.commit('org/name', diffusersRepository())
    const times: number[] = []
    test.hub.interfere = ({ path }, response) => {
      if (!path.includes('unet/config.json')) return false
      times.push(Date.now())
      if (times.length > 2) return false
      if (times.length === 1) refuse(response, 429, '', { 'retry-after': '1' })
      else refuse(response, 502, '')
      return true
    }
    await resolveHubModel('org/name', test.options)
    expect(times.length).toBe(3)
    expect(times[1]! - times[0]!).toBeGreaterThanOrEqual(990)
  })
})

describe('the token', () => {
  it('is sent to the hub and to no other host', async () => {
    test.hub.commit('org/name', diffusersRepository())
    await resolveHubModel('org/name', { ...test.options, token: 'secret-token' })
    const sent = (host: string): Set<string | undefined> =>
      new Set(test.hub.requests.filter((request) => request.host === host).map(({ authorization }) => authorization))
    expect(sent('hub')).toEqual(new Set(['Bearer secret-token']))
    expect(sent('cdn')).toEqual(new Set([undefined]))
  })

  it('and the signature of an address appear in no error', async () => {
    test.hub.commit('org/name', { 'big.safetensors': big })
    test.hub.interfere = ({ host }, response) =>
      host === 'cdn' && response.writeHead(403, 'secret-token').end() !== undefined
    const failed: HubError = await resolveHubModel(one, { ...test.options, token: 'secret-token' }).catch(
      (error) => error,
    )
    expect(failed).toBeInstanceOf(HubError)
    expect(`${failed.stack}${JSON.stringify(failed)}`).not.toMatch(/secret/)
  })

  it('does not follow a redirect to something that is no web address', async () => {
    test.hub.interfere = (_, response) =>
      response.writeHead(302, { location: 'file:///etc/passwd' }).end() !== undefined
    await expect(resolveHubModel('org/name', test.options)).rejects.toThrow(
      /redirects to an address that is not followed/,
    )
    test.hub.interfere = ({ path }, response) => response.writeHead(302, { location: path }).end() !== undefined
    await expect(resolveHubModel('org/name', test.options)).rejects.toThrow(/redirected more than 10 times/)
  })
})

describe('downloads at the same time', () => {
  it('in one process fetch each file once', async () => {
    test.hub.commit('org/name', diffusersRepository())
    test.hub.pieceDelayMs = 2
    const models = await Promise.all([1, 2, 3].map(() => resolveHubModel('org/name', test.options)))
    expect(models[1]).toEqual(models[0])
    expect(contentRequests().length).toBe(3)
  })

  it('in two processes leave one whole file', async () => {
    test.hub.commit('org/name', { 'big.safetensors': big })
    test.hub.pieceDelayMs = 5
    const module = new URL('../../lib/hub/resolveHubModel.ts', import.meta.url).href
    const code = `import { resolveHubModel } from ${JSON.stringify(module)}
      await resolveHubModel(${JSON.stringify(one)}, ${JSON.stringify(test.options)})`
    const child = (): Promise<number | null> =>
      new Promise((done) => {
        const flags = [
          '--import',
          new URL('./loadTypeScript.mjs', import.meta.url).href,
          '--input-type=module',
          '-e',
          code,
        ]
        spawn(process.execPath, flags, { stdio: 'inherit' }).on('exit', done)
      })
    expect(await Promise.all([child(), child()])).toEqual([0, 0])
    expect(await test.blobs()).toEqual([bigEtag])
    expect(contentRequests().length).toBe(1)
  })
})

describe('an abort', () => {
  it('leaves only what can be continued', async () => {
    test.hub.commit('org/name', { 'big.safetensors': big })
    test.hub.pieceDelayMs = 5
    const stop = new AbortController()
    const onProgress = ({ receivedBytes }: { receivedBytes: number }): void => {
      if (receivedBytes > 1_000_000) stop.abort(new Error('enough'))
    }
    await expect(resolveHubModel(one, { ...test.options, signal: stop.signal, onProgress })).rejects.toThrow('enough')
    expect(await test.blobs()).toEqual([`${bigEtag}.incomplete`])
    expect((await readdir(test.repository())).sort()).toEqual(['blobs'])
    expect(await readdir(`${test.cache}/.locks/models--org--name`)).toEqual([])
    const kept = (await stat(test.repository('blobs', `${bigEtag}.incomplete`))).size
    expect(kept).toBeGreaterThan(1_000_000)
    await resolveHubModel(one, test.options)
    expect(contentRequests().at(-1)!.range).toBe(`bytes=${kept}-`)
  })

  it('before the start asks nothing', async () => {
    const signal = AbortSignal.abort(new Error('not at all'))
    await expect(resolveHubModel('org/name', { ...test.options, signal })).rejects.toThrow('not at all')
    expect(test.hub.requests).toEqual([])
  })
})
