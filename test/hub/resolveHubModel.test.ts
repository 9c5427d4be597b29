import { lstat, mkdir, readdir, readFile, readlink, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { describe, expect, it, vi } from 'vitest'
import type { HubProgress } from '../../lib/hub/hubSnapshot.ts'
import { ModelCache } from '../../lib/hub/modelCache.ts'
import { resolveHubModel } from '../../lib/hub/resolveHubModel.ts'
import { HubError } from '../../lib/util/errors.ts'
import { bytes, diffusersRepository, etagOf, neededFiles } from './fakeHub.ts'
import { hubTests } from './hubTest.ts'

const test = hubTests()

describe('a model given by its hub id', () => {
  it('is downloaded into the standard cache, only the files needed', async () => {
    const files = diffusersRepository()
    const commit = test.hub.commit('org/name', files)
    const model = await resolveHubModel('org/name', test.options)
    expect(model).toEqual({
      path: test.repository('snapshots', commit),
      folder: test.repository('snapshots', commit),
      commit,
      files: neededFiles,
    })
    expect(test.hub.contents()).toEqual(neededFiles)
    expect(await readFile(test.repository('refs', 'main'), 'utf8')).toBe(commit)
    for (const path of neededFiles) {
      const content = Buffer.from(files[path]!)
      const link = join(model.folder, path)
      const blob = test.repository('blobs', etagOf({ content, lfs: typeof files[path] !== 'string' }))
      expect((await lstat(link)).isSymbolicLink()).toBe(true)
      expect(join(dirname(link), await readlink(link))).toBe(blob)
      expect((await readFile(link)).equals(content), path).toBe(true)
    }
    // Nothing is left beside the blobs.
    expect((await test.blobs()).length).toBe(neededFiles.length)
    expect(await readdir(join(test.cache, '.locks', 'models--org--name'))).toEqual([])
  })

  it('follows an index to its shards', async () => {
    const shards = [1, 2].map((part) => `diffusion_pytorch_model-0000${part}-of-00002.safetensors`)
    const index = JSON.stringify({ weight_map: { a: shards[0], b: shards[1] } })
    const { 'unet/diffusion_pytorch_model.safetensors': _, ...files } = diffusersRepository()
    test.hub.commit('org/name', {
      ...files,
      'unet/diffusion_pytorch_model.safetensors.index.json': index,
      [`unet/${shards[0]}`]: bytes(1000, 21),
      [`unet/${shards[1]}`]: bytes(1000, 22),
    })
    const model = await resolveHubModel('org/name', test.options)
    expect(model.files).toContain(`unet/${shards[1]}`)
    expect((await resolveHubModel('org/name', { ...test.options, offline: true })).files).toEqual(model.files)
  })

  it('can be one file, and a VAE', async () => {
    const commit = test.hub.commit('org/name', diffusersRepository())
    const one = await resolveHubModel('org/name/v1-5-pruned.ckpt', test.options)
    expect(one.path).toBe(test.repository('snapshots', commit, 'v1-5-pruned.ckpt'))
    const vae = await resolveHubModel('org/name', { ...test.options, kind: 'vae' })
    expect(vae.path).toBe(test.repository('snapshots', commit, 'vae'))
    expect(test.hub.contents()).toEqual(['v1-5-pruned.ckpt', 'vae/config.json', 'vae/diffusion_pytorch_model.bin'])
    // The one checkpoint that is here does not pass for the model of the repository.
    const whole = { ...test.options, offline: true }
    await expect(resolveHubModel('org/name', whole)).rejects.toThrow(/cache lacks model_index.json/)
    await rm(test.repository('noisewright'), { recursive: true })
    await expect(resolveHubModel('org/name', whole)).rejects.toThrow(/cache lacks a list of the files; name one: v1-5-/)
    expect(await resolveHubModel('org/name/v1-5-pruned.ckpt', whole)).toEqual(one)
  })

  it('can be the only checkpoint of its repository, offline too', async () => {
    const commit = test.hub.commit('org/name', { 'README.md': 'x', 'model.safetensors': bytes(1000, 3) })
    const model = await resolveHubModel('org/name', test.options)
    expect(model.path).toBe(test.repository('snapshots', commit, 'model.safetensors'))
    const offline = { ...test.options, offline: true }
    expect(await resolveHubModel('org/name', offline)).toEqual(model)
    await expect(resolveHubModel('org/name/modle.safetensors', offline)).rejects.toThrow(
      /Did you mean "model.safetensors"/,
    )
  })

  it('reports progress up to the size of each file', async () => {
    test.hub.commit('org/name', diffusersRepository())
    const last = new Map<string, HubProgress>()
    let events = 0
    const onProgress = (progress: HubProgress): void => {
      events++
      expect(progress.receivedBytes).toBeGreaterThanOrEqual(last.get(progress.file)?.receivedBytes ?? 0)
      last.set(progress.file, progress)
    }
    await resolveHubModel('org/name', { ...test.options, onProgress })
    expect([...last.keys()].sort()).toEqual(neededFiles)
    for (const { receivedBytes, totalBytes } of last.values()) expect(receivedBytes).toBe(totalBytes)
    expect(last.get('unet/diffusion_pytorch_model.safetensors')!.totalBytes).toBe(3_000_000)
    expect(events).toBeLessThan(neededFiles.length * 3 + 8)
  })

  it('prints nothing', async () => {
    const methods = ['debug', 'info', 'log', 'warn', 'error'] as const
    const spies = methods.map((method) => vi.spyOn(console, method))
    test.hub.commit('org/name', diffusersRepository())
    await resolveHubModel('org/name', test.options)
    for (const spy of spies) expect(spy).not.toHaveBeenCalled()
    vi.restoreAllMocks()
  })

  it('has links replaced by hard links or copies where links are refused', async () => {
    const refused = async (): Promise<never> => {
      throw Object.assign(new Error('EPERM'), { code: 'EPERM', syscall: 'symlink' })
    }
    const { link, copyFile } = await import('node:fs/promises')
    const cache = new ModelCache(test.cache, { repository: 'org/name', type: 'model' })
    await cache.makeFolders()
    await writeFile(cache.blob('e'), 'content')
    await cache.place('c', 'unet/linked', 'e', { symlink: refused, link, copyFile })
    await cache.place('c', 'unet/copied', 'e', { symlink: refused, link: refused, copyFile })
    expect((await lstat(join(cache.snapshot('c'), 'unet/linked'))).nlink).toBe(2)
    expect((await lstat(join(cache.snapshot('c'), 'unet/copied'))).nlink).toBe(1)
    expect(await readFile(join(cache.snapshot('c'), 'unet/copied'), 'utf8')).toBe('content')
    expect((await readdir(join(cache.snapshot('c'), 'unet'))).sort()).toEqual(['copied', 'linked'])
  })
})

describe('a cached model', () => {
  it('costs one request while the branch stands', async () => {
    test.hub.commit('org/name', diffusersRepository())
    const first = await resolveHubModel('org/name', test.options)
    test.hub.requests.length = 0
    expect(await resolveHubModel('org/name', test.options)).toEqual(first)
    expect(test.hub.requests.map(({ path }) => path.replace(/\?.*/, ''))).toEqual([
      '/api/models/org/name/revision/main',
    ])
  })

  it('costs no request when given by its commit', async () => {
    const commit = test.hub.commit('org/name', diffusersRepository())
    const first = await resolveHubModel('org/name', { ...test.options, revision: commit })
    await expect(lstat(test.repository('refs', 'main'))).rejects.toThrow(/ENOENT/)
    test.hub.requests.length = 0
    expect(await resolveHubModel(`org/name@${commit}`, test.options)).toEqual(first)
    expect(test.hub.requests).toEqual([])
  })

  it('is updated when the branch has moved, by the changed files alone', async () => {
    const old = test.hub.commit('org/name', diffusersRepository())
    await resolveHubModel('org/name', test.options)
    const changed = { ...diffusersRepository(), 'unet/config.json': '{"sample_size": 96}', 'NEW.md': 'x' }
    const commit = test.hub.commit('org/name', changed)
    test.hub.requests.length = 0
    const model = await resolveHubModel('org/name', test.options)
    expect([model.commit, test.hub.contents()]).toEqual([commit, ['unet/config.json']])
    expect(await readFile(join(model.folder, 'unet/config.json'), 'utf8')).toBe('{"sample_size": 96}')
    expect(await readFile(test.repository('refs', 'main'), 'utf8')).toBe(commit)
    const before = await resolveHubModel('org/name', { ...test.options, revision: old, offline: true })
    expect(await readFile(join(before.folder, 'unet/config.json'), 'utf8')).toBe('{"sample_size": 64}')
  })

  it('is found offline, without any request', async () => {
    test.hub.commit('org/name', diffusersRepository(), 'refs/pr/1')
    const first = await resolveHubModel('org/name@refs/pr/1', test.options)
    test.hub.requests.length = 0
    vi.stubEnv('HF_HUB_OFFLINE', '1')
    expect(await resolveHubModel('org/name@refs/pr/1', test.options)).toEqual(first)
    expect(test.hub.requests).toEqual([])
    const other = resolveHubModel('org/name', test.options)
    await expect(other).rejects.toThrow(/org\/name@main: nothing of this revision is in the cache. HF_HUB_OFFLINE/)
    await expect(other).rejects.toMatchObject({ code: 'ERR_HUB', exitCode: 5, details: { reason: 'offline' } })
  })

  it('is used when the hub cannot be reached or fails', async () => {
    test.hub.commit('org/name', diffusersRepository())
    const first = await resolveHubModel('org/name', test.options)
    test.hub.interfere = (_, response) => response.writeHead(503).end() !== undefined
    expect(await resolveHubModel('org/name', test.options)).toEqual(first)
    const nowhere = { ...test.options, endpoint: 'http://127.0.0.1:9' }
    expect(await resolveHubModel('org/name', nowhere)).toEqual(first)
    const other = resolveHubModel('org/other', { ...nowhere, retries: 1 })
    await expect(other).rejects.toThrow(/org\/other@main: cannot reach http:\/\/127.0.0.1:9 .*Tried 2 times/)
    await expect(other).rejects.toBeInstanceOf(HubError)
  })

  it('that lost a file is named offline and mended online', async () => {
    const files = diffusersRepository()
    test.hub.commit('org/name', files)
    const first = await resolveHubModel('org/name', test.options)
    const content = files['unet/diffusion_pytorch_model.safetensors'] as Buffer
    await rm(test.repository('blobs', etagOf({ content, lfs: true })))
    const offline = resolveHubModel('org/name', { ...test.options, offline: true })
    await expect(offline).rejects.toThrow(/the cache lacks unet\/diffusion_pytorch_model.safetensors/)
    test.hub.requests.length = 0
    expect(await resolveHubModel('org/name', test.options)).toEqual(first)
    expect(test.hub.contents()).toEqual(['unet/diffusion_pytorch_model.safetensors'])
  })

  it('made by another program is used as it is', async () => {
    const commit = 'ab'.repeat(20)
    const files = [
      'model_index.json',
      'scheduler/scheduler_config.json',
      'unet/config.json',
      'unet/diffusion_pytorch_model.bin',
    ]
    files.push(
      'vae/config.json',
      'vae/diffusion_pytorch_model.bin',
      'text_encoder/config.json',
      'text_encoder/pytorch_model.bin',
    )
    for (const path of files) {
      await mkdir(dirname(test.repository('snapshots', commit, path)), { recursive: true })
      await writeFile(test.repository('snapshots', commit, path), '{}')
    }
    await mkdir(test.repository('refs'))
    await writeFile(test.repository('refs', 'main'), `${commit}\n`)
    expect(await resolveHubModel('org/name', { ...test.options, offline: true })).toMatchObject({ files: files.sort() })
  })
})
