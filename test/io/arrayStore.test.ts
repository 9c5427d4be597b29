import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { describe, expect, it } from 'vitest'
import { ArrayStore } from '../../lib/io/arrayStore.ts'
import { readNpz } from '../../lib/io/npz.ts'
import { userCacheFolder } from '../../lib/io/userCacheFolder.ts'
import { ArgumentError } from '../../lib/util/errors.ts'
import { bundle } from '../../scripts/bundle.mjs'
import { makeFolder } from '../support/pictures.ts'

const keyOf = (text: string): string => createHash('sha256').update(text).digest('hex')

describe('a store of arrays', () => {
  it('gives back what was written under a key, and nothing for another', async () => {
    const store = new ArrayStore(join(await makeFolder(), 'not/there/yet'))
    const values = { dtype: 'F32', shape: [2], bytes: new Uint8Array(8).fill(3) } as const
    const bits = { dtype: 'U8', shape: [3], bytes: Uint8Array.of(1, 2, 3) } as const
    await store.write(
      keyOf('a'),
      new Map<string, typeof values | typeof bits>([
        ['values', values],
        ['bits', bits],
      ]),
    )
    expect(await store.read(keyOf('a'))).toMatchObject({
      found: 'arrays',
      arrays: new Map<string, unknown>([
        ['values', values],
        ['bits', bits],
      ]),
    })
    expect(await store.read(keyOf('b'))).toEqual({ found: 'nothing' })
    expect([...(await readNpz(store.pathOf(keyOf('a')))).keys()]).toEqual(['values', 'bits', 'key', 'digest'])
    expect(() => store.pathOf('../a')).toThrow(ArgumentError)
  })

  it('stays whole while three processes write and read the same entries', async () => {
    const program = join(await bundle('storeChild', { storeChild: 'test/support/storeChild.ts' }), 'storeChild.js')
    const folder = await makeFolder()
    const children = Array.from({ length: 3 }, () => promisify(execFile)(process.execPath, [program, folder, '6', '4']))
    let written = 0
    for (const { stdout } of await Promise.all(children)) {
      const report = JSON.parse(stdout) as { damaged: string[]; written: number }
      expect(report.damaged).toEqual([])
      written += report.written
    }
    expect(written).toBeGreaterThan(6)
    const names = await readdir(folder, { recursive: true })
    expect(names.filter((name) => name.endsWith('.npz'))).toHaveLength(6)
    expect(names.filter((name) => name.endsWith('.tmp'))).toEqual([])
  })
})

describe("the user's cache folder", () => {
  it.each([
    [{ XDG_CACHE_HOME: '/c' }, 'darwin', /^\/c$/],
    [{}, 'linux', /\.cache$/],
    [{}, 'darwin', /Library.Caches$/],
    [{ LOCALAPPDATA: 'C:\\Local' }, 'win32', /^C:\\Local$/],
    [{}, 'win32', /AppData.Local$/],
  ] as const)('follows the environment and the system (%#)', (environment, platform, expected) => {
    expect(userCacheFolder(environment, platform)).toMatch(expected)
  })
})
