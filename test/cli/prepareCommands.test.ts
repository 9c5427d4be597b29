import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { run } from '../../lib/cli/run.ts'
import { exitCodes } from '../../lib/util/errors.ts'
import { makeFolder } from '../support/pictures.ts'
import { makeTestHost } from './testHost.ts'

async function runWith(...args: string[]) {
  const host = makeTestHost()
  const code = await run(args, host)
  return { code, out: host.stdout.text, err: host.stderr.text }
}

const textOf = (path: string): Promise<string | null> => readFile(path, 'utf8').catch(() => null)

describe('merge-captions-to-metadata and merge-dd-tags-to-metadata', () => {
  it('make one file of the captions and the tags of a folder', async () => {
    const folder = await makeFolder({ 'x.png': '', 'x.caption': 'a cat\n', 'x.txt': 'cat, 1girl\n' })
    const [first, second] = [join(folder, 'm1.json'), join(folder, 'm2.json')]
    const captions = await runWith('merge-captions-to-metadata', '--full_path', folder, first, '--debug')
    expect(captions).toEqual({
      code: exitCodes.ok,
      out: `${folder}/x.png: a cat\nfound 1 picture in ${folder}; new metadata\nwrote ${first}: 1 entry\n`,
      err: '',
    })
    const tags = await runWith('merge-dd-tags-to-metadata', '--full_path', '--in_json', first, folder, second)
    expect(tags.out).toBe(`found 1 picture in ${folder}; added to ${first}\nwrote ${second}: 1 entry\n`)
    expect(await textOf(second)).toBe(
      `{\n  "${folder}/x.png": {\n    "caption": "a cat",\n    "tags": "cat, 1girl"\n  }\n}`,
    )
  })

  it('name every text that is missing or not UTF-8, and leave the file as it was', async () => {
    const latin1 = Buffer.from('caf\xe9', 'latin1')
    const folder = await makeFolder({
      'a.png': '',
      'b.png': '',
      'c.JPG': '',
      'd.bmp': '',
      'b.txt': latin1,
      'd.txt': 'd',
    })
    const target = join(folder, 'meta.json')
    await writeFile(target, '{"kept":{}}')
    const { code, err } = await runWith('merge-dd-tags-to-metadata', folder, target)
    expect(code).toBe(exitCodes.data)
    expect(err).toContain(`${folder}/a.txt: there is no such file for the picture ${folder}/a.png`)
    expect(err).toContain(`${folder}/b.txt: the caption is not UTF-8 text (byte 3 is 0xe9)`)
    expect(err).toContain(`${folder}/c.txt: there is no such file`)
    expect(err).not.toContain('d.txt')
    expect(await textOf(target)).toBe('{"kept":{}}')
  })

  it('refuse options that do not fit', async () => {
    const folder = await makeFolder({ 'a.png': '' })
    const target = join(folder, 'meta.json')
    const recursive = await runWith('merge-captions-to-metadata', folder, target, '--recursive')
    expect(recursive.code).toBe(exitCodes.usage)
    expect(recursive.err).toContain('--recursive needs --full_path')
    const dotless = await runWith('merge-captions-to-metadata', folder, target, '--caption_extention', 'txt')
    expect(dotless.err).toContain('--caption_extension must begin with a dot, such as ".txt", found "txt"')
    const alias = await runWith('merge-dd-tags-to-metadata', folder, target, '--caption_extention', '.txt')
    expect(alias.code).toBe(exitCodes.usage)
    expect((await runWith('merge-dd-tags-to-metadata', join(folder, 'none'), target)).code).toBe(exitCodes.data)
    const missing = await runWith('merge-dd-tags-to-metadata', folder, target, '--in_json', join(folder, 'none.json'))
    expect(missing.code).toBe(exitCodes.io)
    expect(await textOf(target)).toBeNull()
  })

  it('warn of a byte order mark, which stays in the text', async () => {
    const folder = await makeFolder({ 'a.png': '', 'a.txt': '\ufeffcat' })
    const target = join(folder, 'meta.json')
    const { err } = await runWith('merge_dd_tags_to_metadata', folder, target)
    expect(err).toContain(`warning: ${folder}/a.txt: the byte order mark`)
    expect(await textOf(target)).toContain('"\\ufeffcat"')
  })
})

describe('clean-captions-and-tags', () => {
  it('cleans in place, prints changes when asked, and ignores the folder of the old form', async () => {
    const folder = await makeFolder({ 'meta.json': '{"a":{"tags":"red_hat, hat","caption":"a woman"},"b":{}}' })
    const path = join(folder, 'meta.json')
    const { code, out, err } = await runWith('clean-captions-and-tags', 'pictures', path, path, '--debug')
    expect(code).toBe(exitCodes.ok)
    expect(out).toBe(
      `FROM: red_hat, hat\nTO:   red hat\nFROM: a woman\nTO:   a girl\nwrote ${path}: 2 entries, 2 texts changed\n`,
    )
    expect(err).toBe(
      `warning: pictures is ignored: all captions and tags of ${path} are cleaned\nnote: no tags: b\nnote: no caption: b\n`,
    )
    expect(await textOf(path)).toContain('"tags": "red hat"')
  })

  it('takes rules from a file', async () => {
    const folder = await makeFolder({
      'meta.json': '{"a":{"tags":"","caption":"a woman and a frog"}}',
      'rules.toml': 'caption_replacements = [["frog", "toad"]]',
    })
    const target = join(folder, 'out.json')
    const rules = join(folder, 'rules.toml')
    await runWith('clean_captions_and_tags', join(folder, 'meta.json'), target, '--rules', rules)
    expect(await textOf(target)).toContain('"a woman and a toad"')
    const wrong = await runWith('clean_captions_and_tags', target, target, '--rules', join(folder, 'meta.json'))
    expect(wrong.code).toBe(exitCodes.usage)
    expect(wrong.err).toContain('"a" is not known')
  })

  it('does nothing without metadata, and refuses another number of paths', async () => {
    const folder = await makeFolder()
    const target = join(folder, 'out.json')
    const none = await runWith('clean-captions-and-tags', join(folder, 'none.json'), target)
    expect(none.code).toBe(exitCodes.ok)
    expect(none.err).toContain('nothing was written')
    expect(await textOf(target)).toBeNull()
    for (const count of [1, 4]) {
      const { code, err } = await runWith('clean-captions-and-tags', ...Array(count).fill(target))
      expect(code).toBe(exitCodes.usage)
      expect(err).toContain(`expected two paths, in_json and out_json, found ${count}`)
    }
  })
})
