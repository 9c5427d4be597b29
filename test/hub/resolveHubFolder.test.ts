import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { parseHubFolder } from '../../lib/hub/hubId.ts'
import { resolveHubFolder } from '../../lib/hub/resolveHubFolder.ts'
import { ArgumentError, CheckpointError, HubError } from '../../lib/util/errors.ts'
import { bytes } from './fakeHub.ts'
import { hubTests } from './hubTest.ts'

const test = hubTests()
const moments = bytes(200_000, 5)
const repository = {
  'frog.safetensors': bytes(1000, 1),
  'runs/frog-state/manifest.json': '{"format": 1}',
  'runs/frog-state/inner/moments.safetensors': moments,
  'runs/frog-state2/manifest.json': '{"format": 2}',
}

describe('what names a folder of a repository', () => {
  it.each([
    ['org/name', { path: '', revision: 'main', type: 'model' }],
    ['org/name/runs/frog-state/', { path: 'runs/frog-state', revision: 'main', type: 'model' }],
    ['org/name/state:v1.0', { path: 'state', revision: 'v1.0', type: 'model' }],
    ['org/name/state:refs/pr/1:dataset', { path: 'state', revision: 'refs/pr/1', type: 'dataset' }],
  ])('has a path, a revision and a kind of repository: %s', (text, expected) => {
    expect(parseHubFolder(text)).toEqual({ repository: 'org/name', ...expected })
  })

  it.each([
    ...['', 'name', 'org/name/../x', 'org/name//x', 'org/name/state:', 'org/name/state:a..b', 'org/name/state:main:'],
    ...['org/name/state:main:models', 'org/name/state:main:model:x', '/org/name/state', 'C:\\states\\frog'],
  ])('is refused in any other form: %j', (text) => {
    expect(() => parseHubFolder(text)).toThrow(ArgumentError)
    expect(() => parseHubFolder(text)).toThrow(JSON.stringify(text))
  })
})

describe('a folder of a repository', () => {
  it('is downloaded with all its files and no others, and found again offline', async () => {
    const commit = test.hub.commit('org/name', repository)
    const found = await resolveHubFolder('org/name/runs/frog-state', test.options)
    const files = ['runs/frog-state/inner/moments.safetensors', 'runs/frog-state/manifest.json']
    expect(found).toMatchObject({ path: test.repository('snapshots', commit, 'runs/frog-state'), commit, files })
    expect(test.hub.contents()).toEqual(files)
    expect((await readFile(join(found.path, 'inner/moments.safetensors'))).equals(moments)).toBe(true)
    test.hub.requests.length = 0
    expect(await resolveHubFolder('org/name/runs/frog-state', { ...test.options, offline: true })).toEqual(found)
    expect(test.hub.requests).toEqual([])
    const other = resolveHubFolder('org/name/runs/frog-state2', { ...test.options, offline: true })
    await expect(other).rejects.toThrow(/the cache lacks runs\/frog-state2\/manifest.json/)
    await expect(other).rejects.toBeInstanceOf(HubError)
  })

  it('is that of the revision, and of the kind of repository', async () => {
    test.hub.commit('org/name', repository)
    test.hub.commit('org/name', { 'runs/frog-state/manifest.json': '{"format": 9}' }, 'v2')
    test.hub.commit('datasets/org/name', { 'runs/frog-state/manifest.json': '{"format": 7}' })
    const read = async (id: string): Promise<string> => {
      const { path } = await resolveHubFolder(id, test.options)
      return readFile(join(path, 'manifest.json'), 'utf8')
    }
    expect(await read('org/name/runs/frog-state:v2')).toBe('{"format": 9}')
    expect(await read('org/name/runs/frog-state:main:dataset')).toBe('{"format": 7}')
    expect(await read('org/name/runs/frog-state:main:model')).toBe('{"format": 1}')
  })

  it('that is not there is named, with one of a similar name', async () => {
    test.hub.commit('org/name', repository)
    const missing = resolveHubFolder('org/name/runs/frog-stat', test.options)
    await expect(missing).rejects.toBeInstanceOf(CheckpointError)
    await expect(missing).rejects.toThrow(
      'org/name@main: the repository has no folder runs/frog-stat. Did you mean "runs/frog-state"?',
    )
    await expect(resolveHubFolder('org/name/runs/frog-state:v3', test.options)).rejects.toThrow(/no such branch/)
  })
})
