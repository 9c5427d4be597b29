import { readFile, stat } from 'node:fs/promises'
import { extname } from 'node:path'
import { parseJson } from '../config/configText.ts'
import { locateJson, locateToml } from '../config/locate.ts'
import { type ConfigPath, type Position, pathInWords } from '../config/problem.ts'
import type { SamplerName } from '../config/samplerNames.ts'
import { toIoError } from '../io/systemError.ts'
import { ConfigError } from '../util/errors.ts'
import { checkPrompt, type PromptSpec, parsePromptLine } from './promptSpec.ts'
import { checkPromptTable, isTable, promptFromTable, promptKeyProblem } from './promptTable.ts'

export type { PromptSpec } from './promptSpec.ts'

/** More than anybody reads through; a larger file is another file than was meant. */
const maxBytes = 1 << 20
const maxPrompts = 1000

export interface ReadPromptFileOptions {
  /** Sampler of the prompts that name none: with it their steps are checked. Default `ddim`. */
  readonly sampler?: SamplerName
  /** Told about parts of prompt lines that are ignored, with file and line. Default: nobody. */
  readonly onWarning?: (message: string) => void
}

/**
 * Reads the prompts that preview pictures are drawn from.
 *
 * - `.txt`: one prompt a line, see `parsePromptLine`; empty lines and lines whose first character is `#` are skipped.
 * - `.toml`: a table `[prompt]` with keys for all, and `[[prompt.subset]]` for each picture; no key may be in both.
 * - `.json`: a list of tables, or of texts that are read like lines.
 *
 * Keys of tables: prompt, negative_prompt, width, height, sample_steps, scale, seed, sample_sampler. A file may have 1 MiB and a
 * thousand prompts.
 *
 * @throws IoError when the file cannot be read
 * @throws ConfigError with file and line for what cannot be understood, and when there is no prompt in it
 */
export async function readPromptFile(
  path: string,
  options: ReadPromptFileOptions = {},
): Promise<readonly PromptSpec[]> {
  const readers: Readonly<Record<string, (file: PromptText) => Promise<PromptSpec[]>>> = {
    '.txt': readLines,
    '.toml': readToml,
    '.json': readJson,
  }
  const read = readers[extname(path).toLowerCase()]
  if (read === undefined) {
    throw new ConfigError(`a prompt file must end in ${Object.keys(readers).join(', ')}; rename it`, { file: path })
  }
  const { sampler = 'ddim', onWarning = () => {} } = options
  const prompts = await read({ path, text: await readText(path), sampler, onWarning })
  if (prompts.length === 0) {
    throw new ConfigError('expected at least one prompt, found none; add one or leave the option out', { file: path })
  }
  return prompts
}

interface PromptText {
  readonly path: string
  readonly text: string
  readonly sampler: SamplerName
  readonly onWarning: (message: string) => void
}

async function readText(path: string): Promise<string> {
  const toReadError = (error: unknown): never => {
    throw toIoError(path, 'read the prompt file', error)
  }
  // Asked before it is opened: opening a pipe would wait for somebody to write into it.
  const status = await stat(path).catch(toReadError)
  if (!status.isFile()) throw new ConfigError('expected a file with prompts; check the path', { file: path })
  if (status.size > maxBytes) {
    const message = `expected a prompt file of at most ${maxBytes} bytes, found ${status.size}; check the path`
    throw new ConfigError(message, { file: path })
  }
  const bytes = await readFile(path).catch(toReadError)
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch (error) {
    throw new ConfigError('the file is not UTF-8 text; save it as UTF-8', { file: path }, { cause: error })
  }
}

function checkCount(file: string, count: number): void {
  if (count <= maxPrompts) return
  throw new ConfigError(`expected at most ${maxPrompts} prompts, found ${count}; use several runs`, { file })
}

async function readLines({ path, text, sampler, onWarning }: PromptText): Promise<PromptSpec[]> {
  const lines = text.split(/\r\n|\n|\r/).map((line, index) => ({ line, number: index + 1 }))
  const prompts = lines.filter(({ line }) => line.trim() !== '' && !line.startsWith('#'))
  checkCount(path, prompts.length)
  return prompts.map(({ line, number }) =>
    parsePromptLine(line, { place: { file: path, line: number }, sampler, onWarning }),
  )
}

async function readToml({ path, text, sampler }: PromptText): Promise<PromptSpec[]> {
  const { parse, TomlError } = await import('smol-toml')
  let root: unknown
  try {
    root = parse(text)
  } catch (error) {
    if (!(error instanceof TomlError)) throw error
    const { line, column } = error
    throw new ConfigError(error.message.split('\n')[0]!, { file: path, line, column }, { cause: error })
  }
  const tables = new Tables(path, sampler, async (at) => (await locateToml(text))(at))
  const problem = promptKeyProblem(root as object, ['prompt'])
  if (problem !== undefined) await tables.fail(problem.message, [problem.key])
  const { prompt } = root as { readonly prompt?: unknown }
  if (!isTable(prompt) || !Array.isArray(prompt.subset)) {
    return tables.fail('expected [prompt] and at least one [[prompt.subset]]', ['prompt'])
  }
  const { subset, ...shared } = prompt
  const subsets = subset as readonly unknown[]
  checkCount(path, subsets.length)
  await tables.check(shared, ['prompt'])
  const prompts: PromptSpec[] = []
  for (const [index, table] of subsets.entries()) {
    const place = ['prompt', 'subset', index]
    const own = await tables.check(table, place)
    const twice = Object.keys(own).find((key) => key in shared)
    if (twice !== undefined) {
      const message = `${twice} is given in [prompt] and again in [[prompt.subset]]; keep one of them`
      await tables.fail(message, [...place, twice])
    }
    prompts.push(await tables.prompt({ ...shared, ...own }, place))
  }
  return prompts
}

async function readJson({ path, text, sampler, onWarning }: PromptText): Promise<PromptSpec[]> {
  const list = parseJson(text, path)
  if (!Array.isArray(list)) throw new ConfigError('expected a list of prompts: [ … ]', { file: path, line: 1 })
  checkCount(path, list.length)
  const locate = locateJson(text)
  const tables = new Tables(path, sampler, async (at) => locate(at))
  const prompts: PromptSpec[] = []
  for (const [index, entry] of list.entries()) {
    if (typeof entry === 'string') {
      const place = { file: path, ...locate([index]) }
      prompts.push(parsePromptLine(entry, { place, sampler, onWarning }))
    } else {
      prompts.push(await tables.prompt(await tables.check(entry, [index]), [index]))
    }
  }
  return prompts
}

/** The prompt tables of one file. */
class Tables {
  readonly #file: string
  readonly #sampler: SamplerName
  readonly #locate: (path: ConfigPath) => Promise<Position | undefined>

  constructor(file: string, sampler: SamplerName, locate: (path: ConfigPath) => Promise<Position | undefined>) {
    this.#file = file
    this.#sampler = sampler
    this.#locate = locate
  }

  async fail(message: string, place: ConfigPath): Promise<never> {
    const details = { file: this.#file, option: pathInWords(place), ...(await this.#locate(place)) }
    throw new ConfigError(message, details)
  }

  /** Refuses unknown keys and values of a wrong kind. A null stands for a key left out, as in Python's JSON. */
  async check(table: unknown, place: ConfigPath): Promise<Readonly<Record<string, unknown>>> {
    if (!isTable(table)) {
      return this.fail(`expected a table of prompt keys, found ${JSON.stringify(table)}`, place)
    }
    const given = Object.fromEntries(Object.entries(table).filter(([, value]) => value !== null))
    const problem = checkPromptTable(given)
    if (problem !== undefined) await this.fail(problem.message, [...place, problem.key])
    return given
  }

  /** @param table has passed {@link check} */
  async prompt(table: Readonly<Record<string, unknown>>, place: ConfigPath): Promise<PromptSpec> {
    if (table.prompt === undefined) {
      await this.fail('expected a key "prompt" with the text to draw, found none', [...place, 'prompt'])
    }
    const spec = promptFromTable(table)
    const problem = checkPrompt(spec, this.#sampler)
    if (problem !== undefined) await this.fail(problem, [...place, 'sample_steps'])
    return spec
  }
}
