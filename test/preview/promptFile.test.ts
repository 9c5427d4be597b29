import * as fs from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type PromptSpec, readPromptFile } from '../../lib/preview/promptFile.ts'
import { ConfigError, IoError } from '../../lib/util/errors.ts'

let folder: string
beforeEach(async () => {
  folder = await fs.mkdtemp(join(tmpdir(), 'noisewright-prompts-'))
})
afterEach(async () => {
  await fs.rm(folder, { recursive: true, force: true })
})

const defaults = { negativePrompt: '', width: 512, height: 512, steps: 30, scale: 7.5 }

async function read(name: string, text: string | Uint8Array, warnings: string[] = []): Promise<readonly PromptSpec[]> {
  const path = join(folder, name)
  await fs.writeFile(path, text)
  return readPromptFile(path, { onWarning: (message) => warnings.push(message) })
}

async function failure(name: string, text: string | Uint8Array): Promise<ConfigError> {
  const error: unknown = await read(name, text).then(
    () => expect.fail('must not succeed'),
    (reason: unknown) => reason,
  )
  expect(error).toBeInstanceOf(ConfigError)
  expect((error as ConfigError).message).toContain(join(folder, name))
  return error as ConfigError
}

describe('readPromptFile', () => {
  it('reads lines, skipping empty ones and comments that start in the first column', async () => {
    const warnings: string[] = []
    const prompts = await read('p.txt', '\ufeff# comment\r\na cat --d 1\r\n\r\n  # not a comment\n', warnings)
    expect(prompts).toEqual([
      { prompt: 'a cat', ...defaults, seed: 1 },
      { prompt: '# not a comment', ...defaults },
    ])
    expect(warnings).toEqual([])
  })

  it('names file and line of a wrong option', async () => {
    const error = await failure('p.txt', '# one\n\na cat --s many\n')
    expect(error.details).toMatchObject({ line: 3, option: '--s' })
  })

  it('merges shared keys into every TOML subset', async () => {
    const text = `
      [prompt]
      width = 260
      scale = 5
      [[prompt.subset]]
      prompt = "a cat"
      seed = 7
      [[prompt.subset]]
      prompt = "a dog"
      sample_sampler = "dpmsolver++"
      negative_prompt = "blurry"
      sample_steps = 12
      height = 1`
    expect(await read('p.toml', text)).toEqual([
      { prompt: 'a cat', ...defaults, width: 256, scale: 5, seed: 7 },
      {
        prompt: 'a dog',
        negativePrompt: 'blurry',
        width: 256,
        height: 64,
        steps: 12,
        scale: 5,
        sampler: 'dpmsolver++',
      },
    ])
  })

  it.each([
    ['a key given twice', '[prompt]\nwidth = 8\n[[prompt.subset]]\nprompt = "x"\nwidth = 9\n', 5, /width is given in/],
    ['an unknown key', '[prompt]\n[[prompt.subset]]\nprompt = "x"\nwidht = 9\n', 4, /"widht". Did you mean "width"/],
    ['an unknown shared key', '[prompt]\nsampler = 1\n[[prompt.subset]]\nprompt = "x"\n', 2, /Known are prompt/],
    ['a value of a wrong kind', '[prompt]\n[[prompt.subset]]\nprompt = 3\n', 3, /prompt must be a text of .*, found 3/],
    [
      'a wrong float',
      '[prompt]\n[[prompt.subset]]\nprompt = "x"\nwidth = 512.5\n',
      4,
      /width must be a whole .*, found 512.5/,
    ],
    [
      'too wide a picture',
      '[prompt]\n[[prompt.subset]]\nprompt = "x"\nwidth = 4097\n',
      4,
      /of at most 4096, found 4097/,
    ],
    [
      'a negative seed',
      '[prompt]\n[[prompt.subset]]\nprompt = "x"\nseed = -1\n',
      4,
      /seed must be a whole number of 0/,
    ],
    [
      'a control image',
      '[prompt]\ncontrolnet_image = "x.png"\n[[prompt.subset]]\nprompt = "x"\n',
      2,
      /\(a control image\) is/,
    ],
    [
      'an unknown sampler',
      '[prompt]\nsample_sampler = "eular"\n[[prompt.subset]]\nprompt = "x"\n',
      2,
      /must be one of .*, found "eular". Did you mean "euler"/,
    ],
    [
      'steps that the sampler does not take',
      '[prompt]\nsample_sampler = "pndm"\n[[prompt.subset]]\nprompt = "x"\nsample_steps = 2\n',
      5,
      /pndm takes 4 to 999 steps, found 2/,
    ],
    ['too many steps', '[prompt]\n[[prompt.subset]]\nprompt = "x"\nsample_steps = 1001\n', 4, /from 1 to 1000/],
    [
      'a second subset without prompt',
      '[[prompt.subset]]\nprompt = "x"\n\n[[prompt.subset]]\nseed = 1\n',
      4,
      /a key "prompt"/,
    ],
    ['no subset', '\n[prompt]\nprompt = "x"\n', 2, /at least one \[\[prompt\.subset\]\]/],
    ['an unknown table', '[prompt]\n[prmpt]\n', 2, /Did you mean "prompt"/],
    ['broken TOML', '[prompt]\nwidth = \n', 2, /Invalid TOML/],
  ])('names the line of %s in TOML', async (_what, text, line, message) => {
    const error = await failure('p.toml', text)
    expect(error.message).toMatch(message)
    expect(error.details.line).toBe(line)
  })

  it('reads JSON lists of tables and of lines; null is a key left out', async () => {
    const text = JSON.stringify([{ prompt: 'a cat', seed: 7, negative_prompt: null }, 'a dog --w 256'])
    expect(await read('p.json', text)).toEqual([
      { prompt: 'a cat', ...defaults, seed: 7 },
      { prompt: 'a dog', ...defaults, width: 256 },
    ])
  })

  it.each([
    [
      'a wrong value',
      '[\n {"prompt": "a, [b] {c}"},\n {"prompt": "x",\n  "scale": "7"}\n]',
      4,
      /scale must be a number/,
    ],
    ['a wrong line', '[\n "x",\n\n "y --w z"]', 4, /--w must be followed/],
    ['an element that is no prompt', '["x",\n 3]', 2, /expected a table of prompt keys, found 3/],
    ['a key given twice', '[\n {"prompt": "x",\n  "prompt": "y"}\n]', 3, /"prompt" is given twice/],
    [
      'an unknown key',
      '[\n {"prompt": "x", "sample_step": 3}\n]',
      2,
      /unknown key "sample_step". Did you mean "sample_steps"/,
    ],
    ['lists in lists', `[\n ${'['.repeat(5000)}${']'.repeat(5000)}]`, 2, /nested more than 100 levels/],
    ['broken JSON', '[\n {"prompt": "x",}\n]', 2, /not valid JSON/],
    ['JSON that ends early', '[\n "x"\n', 3, /not valid JSON/],
    ['a JSON object', '{"prompt": "x"}', 1, /expected a list/],
  ])('names the line of %s in JSON', async (_what, text, line, message) => {
    const error = await failure('p.json', text)
    expect(error.message).toMatch(message)
    expect(error.details.line).toBe(line)
  })

  it('refuses an empty file, other endings, text that is not UTF-8 and missing files', async () => {
    expect((await failure('p.txt', '# nothing\n')).message).toMatch(/at least one prompt, found none/)
    expect((await failure('p.yaml', 'x')).message).toMatch(/must end in \.txt, \.toml, \.json/)
    expect((await failure('p.txt', Uint8Array.of(0x61, 0xff))).message).toMatch(/not UTF-8/)
    await expect(readPromptFile(join(folder, 'none.txt'))).rejects.toThrow(IoError)
  })

  it('refuses files that are too large, too many prompts, and folders', async () => {
    expect((await failure('p.txt', 'x'.repeat(1_048_577))).message).toMatch(/at most 1048576 bytes, found 1048577/)
    expect(await read('p.txt', '# comment\nx\n'.repeat(1000))).toHaveLength(1000)
    expect((await failure('p.txt', 'x\n'.repeat(1001))).message).toMatch(/at most 1000 prompts, found 1001/)
    const list = JSON.stringify(new Array(1001).fill('x'))
    expect((await failure('p.json', list)).message).toMatch(/at most 1000 prompts, found 1001/)
    const tables = '[[prompt.subset]]\nprompt = "x"\n'.repeat(1001)
    expect((await failure('p.toml', tables)).message).toMatch(/at most 1000 prompts, found 1001/)
    await fs.mkdir(join(folder, 'folder.txt'))
    await expect(readPromptFile(join(folder, 'folder.txt'))).rejects.toThrow(/expected a file with prompts/)
  })

  it('checks the steps of prompts that name no sampler with that of the options', async () => {
    const path = join(folder, 'p.json')
    await fs.writeFile(path, '["x --s 3 --ss heun",\n "y --s 3"]')
    expect((await readPromptFile(path)).map(({ sampler }) => sampler)).toEqual(['heun', undefined])
    await expect(readPromptFile(path, { sampler: 'pndm' })).rejects.toThrow(
      /p\.json:2:2: the sampler pndm takes 4 to 999/,
    )
  })
})
