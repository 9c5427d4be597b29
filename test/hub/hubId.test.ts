import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { homedir, tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { isHostilePath, isHubId, isSafePath, parseHubId } from '../../lib/hub/hubId.ts'
import { hubCacheFolder, hubEndpoint, hubOffline, hubToken } from '../../lib/hub/settings.ts'
import { ArgumentError } from '../../lib/util/errors.ts'

describe('hub ids', () => {
  it('name a repository, a file and a revision', () => {
    expect(parseHubId('org/sd-v1.5')).toEqual({ repository: 'org/sd-v1.5', file: undefined, revision: 'main' })
    expect(parseHubId('org/name', 'fp16').revision).toBe('fp16')
    expect(parseHubId('org/name@refs/pr/1').revision).toBe('refs/pr/1')
    expect(parseHubId('org/name/sub/model.safetensors@v2')).toEqual({
      repository: 'org/name',
      file: 'sub/model.safetensors',
      revision: 'v2',
    })
  })

  it.each([
    'name',
    '',
    'org/',
    '/name',
    '../name',
    'org/..',
    'org/na..me',
    'org/na--me',
    'or--g/name',
    'org/na me',
    'org/name\n',
    'org\\name',
    'org/.hidden',
    'org/name/../../x.safetensors',
    'org/name//x.safetensors',
    'org/name/x.safetensors/',
    'org/name/x.exe',
    'org/name/sub',
    'org/name@',
    'org/name@../main',
    'org/name@a b',
    'https://host/org/name',
    `org/${'n'.repeat(97)}`,
  ])('are not %j', (id) => {
    expect(isHubId(id)).toBe(false)
    expect(() => parseHubId(id)).toThrow(ArgumentError)
  })

  it('refuse a revision that leaves the cache or contradicts the id', () => {
    for (const revision of ['..', '../main', 'a/../b', '/main', 'main/', 'a\\b', 'a b', ''])
      expect(() => parseHubId('org/name', revision), revision).toThrow(/revision must be/)
    expect(() => parseHubId('org/name@v1', 'v2')).toThrow(/must be "v1", as after the @ of the id, received "v2"/)
  })
})

describe('paths of a listing', () => {
  it('are refused where they try to leave the cache, and skipped where a system cannot have them', () => {
    for (const path of ['../x', 'a/../x', '/etc/x', 'C:/x', 'a\\b', 'a/./b', 'a\u0000b', 'a\u001b[2Jb', '..'])
      expect([isHostilePath(path), isSafePath(path)], path).toEqual([true, false])
    for (const path of ['what?.png', 'end. ', 'a//b', 'left\u202eright.txt', 'a'.repeat(1025)])
      expect([isHostilePath(path), isSafePath(path)], path).toEqual([false, false])
    for (const path of ['unet/config.json', '.gitattributes', 'a..b/c', 'ünïcode/图.txt'])
      expect([isHostilePath(path), isSafePath(path)], path).toEqual([false, true])
  })
})

describe('settings of the hub', () => {
  it('find the cache where Python finds it', () => {
    expect(hubCacheFolder({})).toBe(join(homedir(), '.cache', 'huggingface', 'hub'))
    expect(hubCacheFolder({ XDG_CACHE_HOME: '/x' })).toBe('/x/huggingface/hub')
    expect(hubCacheFolder({ XDG_CACHE_HOME: '/x', HF_HOME: '/h' })).toBe('/h/hub')
    expect(hubCacheFolder({ HF_HOME: '/h', HUGGINGFACE_HUB_CACHE: '/old' })).toBe('/old')
    expect(hubCacheFolder({ HUGGINGFACE_HUB_CACHE: '/old', HF_HUB_CACHE: '~/new' })).toBe(join(homedir(), 'new'))
  })

  it('read when to stay offline and which hub to ask', () => {
    expect(['1', 'ON', 'yes', 'True'].map((value) => hubOffline({ HF_HUB_OFFLINE: value }))).not.toContain(false)
    expect([{}, { HF_HUB_OFFLINE: '0' }, { HF_HUB_OFFLINE: '' }].map((values) => hubOffline(values))).not.toContain(
      true,
    )
    expect(hubEndpoint(undefined, {})).toBe('https://huggingface.co')
    expect(hubEndpoint(undefined, { HF_ENDPOINT: 'https://mirror.test/hf/' })).toBe('https://mirror.test/hf')
    expect(() => hubEndpoint('ftp://host', {})).toThrow(/endpoint must be an address/)
    expect(() => hubEndpoint(undefined, { HF_ENDPOINT: 'https://me:secret@host' })).toThrow(/HF_ENDPOINT must be/)
    expect(() => hubEndpoint(undefined, { HF_ENDPOINT: 'https://me:secret@host' })).not.toThrow(/secret/)
  })

  it('take the token from the argument, the environment, then a file', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'noisewright-hub-'))
    await writeFile(join(folder, 'token'), 'hf_file\n')
    expect(await hubToken('hf_a', { HF_TOKEN: 'hf_b' })).toBe('hf_a')
    expect(await hubToken(undefined, { HF_TOKEN: 'hf_b', HUGGING_FACE_HUB_TOKEN: 'hf_c' })).toBe('hf_b')
    expect(await hubToken(undefined, { HUGGING_FACE_HUB_TOKEN: 'hf_c', HF_HOME: folder })).toBe('hf_c')
    expect(await hubToken(undefined, { HF_HOME: folder })).toBe('hf_file')
    expect(await hubToken(undefined, { HF_TOKEN_PATH: join(folder, 'token') })).toBe('hf_file')
    expect(await hubToken(undefined, { HF_HOME: join(folder, 'nowhere') })).toBeUndefined()
    expect(await hubToken('', { HF_TOKEN: 'hf_b' })).toBeUndefined()
    const split = hubToken('hf_secret\r\nX-Header: 1', {})
    await expect(split).rejects.toThrow(/token must be one word of ASCII characters, received 22 characters/)
    await rm(folder, { recursive: true })
  })
})
