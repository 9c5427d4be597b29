/** What sd-scripts' tools made of the same inputs; see scripts/reference/metadata_tools.py. */
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { run } from '../../lib/cli/run.ts'
import { exitCodes } from '../../lib/util/errors.ts'
import { makeTestHost } from '../cli/testHost.ts'
import { makeFolder } from '../support/pictures.ts'

interface Fixture {
  readonly clean: readonly { readonly in: string; readonly out: string; readonly error: null }[]
  readonly merge: readonly {
    readonly kind: 'captions' | 'tags'
    readonly files: Readonly<Record<string, string>>
    readonly arguments: readonly string[]
    readonly out: string | null
    readonly error: string | null
  }[]
}

const path = new URL('../fixtures/metadata_tools/tools.json', import.meta.url)
const fixture = JSON.parse(await readFile(path, 'utf8')) as Fixture
const commands = { captions: 'merge_captions_to_metadata', tags: 'merge_dd_tags_to_metadata' } as const

describe('clean-captions-and-tags', () => {
  it('writes the same bytes as the script', async () => {
    const folder = await makeFolder()
    const [source, target] = [join(folder, 'in.json'), join(folder, 'out.json')]
    expect(fixture.clean.length).toBeGreaterThan(90)
    for (const item of fixture.clean) {
      await writeFile(source, item.in)
      const host = makeTestHost()
      expect(await run(['clean_captions_and_tags', source, target], host), host.stderr.text).toBe(exitCodes.ok)
      expect(await readFile(target, 'utf8'), item.in).toBe(item.out)
    }
  })
})

describe('the merging commands', () => {
  const before = process.cwd()
  afterEach(() => process.chdir(before))

  it.each(fixture.merge.map((item) => [item.kind, item.arguments.join(' '), item] as const))(
    'write the same bytes as the script, or nothing: %s %s',
    async (kind, _arguments, { files, arguments: words, out, error }) => {
      const folder = await makeFolder(files)
      process.chdir(folder)
      const host = makeTestHost()
      const code = await run([commands[kind], ...words], host)
      const written = await readFile(join(folder, 'out.json'), 'utf8').catch(() => null)
      expect({ ok: code === exitCodes.ok, written }, host.stderr.text).toEqual({ ok: error === null, written: out })
    },
  )
})
