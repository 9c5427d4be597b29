import * as fs from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type PromptSpec, readPromptFile } from '../../lib/preview/promptFile.ts'
import { parsePromptLine } from '../../lib/preview/promptSpec.ts'
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

describe('parsePromptLine', () => {
  it('reads every option, in either case, the later one winning', () => {
    expect(parsePromptLine('a cat, sitting --n blurry, --bad --w 640 --H 768 --s 28 --L 7 --d 42 --d 43')).toEqual({
      prompt: 'a cat, sitting',
      negativePrompt: 'blurry,',
      width: 640,
      height: 768,
      steps: 28,
      scale: 7,
      seed: 43,
    })
  })

  it('gives defaults to a bare prompt', () => {
    expect(parsePromptLine('  a cat  ')).toEqual({ prompt: 'a cat', ...defaults })
    expect(parsePromptLine('a cat')).not.toHaveProperty('seed')
  })

  it('rounds sizes down to multiples of 8, at least 64, and clamps the steps', () => {
    const sizes = (line: string): number[] => [parsePromptLine(line)].flatMap(({ width, height }) => [width, height])
    expect(sizes('x --w 519 --h 12')).toEqual([512, 64])
    expect(parsePromptLine('x --s 0').steps).toBe(1)
    expect(parsePromptLine('x --s 5000').steps).toBe(1000)
  })

  it('ignores text after a number, keeps the text after a negative prompt', () => {
    expect(parsePromptLine('x --w 640px --l 3.5 strong --n  two  words')).toMatchObject({
      width: 640,
      scale: 3.5,
      negativePrompt: ' two  words',
    })
  })

  it('keeps a prompt that itself looks like an option', () => {
    expect(parsePromptLine('n blurry')).toEqual({ prompt: 'n blurry', ...defaults })
    expect(parsePromptLine('s 12 --d 1')).toEqual({ prompt: 's 12', ...defaults, seed: 1 })
  })

  it('warns of pieces that are no options: an unknown letter, no space, two spaces', () => {
    const warnings: string[] = []
    const onWarning = (message: string): void => void warnings.push(message)
    const place = { file: 'p.txt', line: 3 }
    expect(parsePromptLine('x --style raw --w640 --q 1', { place, onWarning })).toEqual({ prompt: 'x', ...defaults })
    expect(warnings).toHaveLength(3)
    expect(warnings[0]).toMatch(/^p\.txt:3: "--style raw" is not an option and is ignored/)
  })

  it('refuses values that are no numbers, and options of other versions by name', () => {
    const place = { file: 'p.txt', line: 3 }
    expect(() => parsePromptLine('x --w wide', { place })).toThrow(
      /^p\.txt:3:1: --w must be followed by a whole number/,
    )
    expect(() => parsePromptLine('x --w  640')).toThrow(/--w must be followed by/)
    expect(() => parsePromptLine('x --l 1.2.3')).toThrow(/--l must be followed by a number, found "1.2.3"/)
    expect(() => parsePromptLine('x --d 99999999999999999999')).toThrow(/--d must be followed by/)
    expect(() => parsePromptLine('x --ss euler_a')).toThrow(/--ss \(a sampler of its own.*not supported/)
  })
})

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
      negative_prompt = "blurry"
      sample_steps = 12
      height = 1`
    expect(await read('p.toml', text)).toEqual([
      { prompt: 'a cat', ...defaults, width: 256, scale: 5, seed: 7 },
      { prompt: 'a dog', negativePrompt: 'blurry', width: 256, height: 64, steps: 12, scale: 5 },
    ])
  })

  it.each([
    ['a key given twice', '[prompt]\nwidth = 8\n[[prompt.subset]]\nprompt = "x"\nwidth = 9\n', 5, /width is given in/],
    ['an unknown key', '[prompt]\n[[prompt.subset]]\nprompt = "x"\nwidht = 9\n', 4, /"widht". Did you mean "width"/],
    ['an unknown shared key', '[prompt]\nsampler = 1\n[[prompt.subset]]\nprompt = "x"\n', 2, /Known are prompt/],
    ['a value of a wrong kind', '[prompt]\n[[prompt.subset]]\nprompt = 3\n', 3, /prompt must be a text, found 3/],
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
      3,
      /scale must be a number/,
    ],
    ['a wrong line', '[\n "x",\n\n "y --w z"]', 4, /--w must be followed/],
    ['an element that is no prompt', '["x",\n 3]', 2, /expected a table of prompt keys, found 3/],
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
})
