import { readFile } from 'node:fs/promises'
import { extname } from 'node:path'
import { toIoError } from '../io/systemError.ts'
import { ConfigError } from '../util/errors.ts'
import { didYouMean } from '../util/nearest.ts'
import { type Locate, locateJsonElement, locateToml, placeOf, type TextPlace } from './promptLocation.ts'
import { type PromptKey, type PromptSpec, parsePromptLine, promptFromTable, promptKeys } from './promptSpec.ts'

export type { PromptSpec } from './promptSpec.ts'

export interface ReadPromptFileOptions {
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
 * Keys of tables: prompt, negative_prompt, width, height, sample_steps, scale, seed.
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
  const prompts = await read({ path, text: await readText(path), onWarning: options.onWarning ?? (() => {}) })
  if (prompts.length === 0) {
    throw new ConfigError('expected at least one prompt, found none; add one or leave the option out', { file: path })
  }
  return prompts
}

interface PromptText {
  readonly path: string
  readonly text: string
  readonly onWarning: (message: string) => void
}

async function readText(path: string): Promise<string> {
  const bytes = await readFile(path).catch((error: unknown) => {
    throw toIoError(path, 'read the prompt file', error)
  })
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch (error) {
    throw new ConfigError('the file is not UTF-8 text; save it as UTF-8', { file: path }, { cause: error })
  }
}

async function readLines({ path, text, onWarning }: PromptText): Promise<PromptSpec[]> {
  return text.split(/\r\n|\n|\r/).flatMap((line, index) => {
    if (line.trim() === '' || line.startsWith('#')) return []
    return [parsePromptLine(line, { place: { file: path, line: index + 1 }, onWarning })]
  })
}

async function readToml({ path, text }: PromptText): Promise<PromptSpec[]> {
  const { parse, TomlError } = await import('smol-toml')
  const locate = locateToml(text)
  let root: unknown
  try {
    root = parse(text)
  } catch (error) {
    if (!(error instanceof TomlError)) throw error
    const { line, column } = error
    throw new ConfigError(error.message.split('\n')[0]!, { file: path, line, column }, { cause: error })
  }
  await checkNames(path, root, ['prompt'], [], locate)
  const { prompt } = root as { readonly prompt?: unknown }
  if (!isTable(prompt) || !Array.isArray(prompt.subset)) {
    throw new ConfigError('expected [prompt] and at least one [[prompt.subset]]', {
      file: path,
      ...(await locate(['prompt'])),
    })
  }
  const { subset: subsets, ...shared } = prompt as { readonly subset: readonly unknown[] }
  await checkTable(path, shared, ['prompt'], locate)
  const prompts: PromptSpec[] = []
  for (const [index, subset] of subsets.entries()) {
    const place = ['prompt', 'subset', index]
    const table = await checkTable(path, subset, place, locate)
    const twice = Object.keys(table).find((key) => key in shared)
    if (twice !== undefined) {
      const option = [...place, twice]
      throw new ConfigError(`${twice} is given in [prompt] and again in [[prompt.subset]]; keep one of them`, {
        file: path,
        option: option.join('.'),
        ...(await locate(option)),
      })
    }
    prompts.push(await promptOf(path, { ...shared, ...table }, place, locate))
  }
  return prompts
}

async function readJson({ path, text, onWarning }: PromptText): Promise<PromptSpec[]> {
  let list: unknown
  try {
    list = JSON.parse(text)
  } catch (error) {
    throw new ConfigError(`the file is not valid JSON: ${(error as Error).message}`, {
      file: path,
      ...jsonErrorPlace(text, error as Error),
    })
  }
  if (!Array.isArray(list)) throw new ConfigError('expected a list of prompts: [ … ]', { file: path, line: 1 })
  const locate = locateJsonElement(text)
  const prompts: PromptSpec[] = []
  for (const [index, entry] of list.entries()) {
    if (typeof entry === 'string') {
      const place = { file: path, ...(await locate([index])) }
      prompts.push(parsePromptLine(entry, { place, onWarning }))
    } else {
      prompts.push(await promptOf(path, await checkTable(path, entry, [index], locate), [index], locate))
    }
  }
  return prompts
}

/** Some of the parser's messages carry a position; the others quote the text around the fault. */
function jsonErrorPlace(text: string, { message }: Error): TextPlace | undefined {
  const position = /position (\d+)/.exec(message)?.[1]
  if (position !== undefined) return placeOf(text, Number(position))
  return message.includes('end of JSON') ? placeOf(text, text.length) : undefined
}

function isTable(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Date)
}

async function checkNames(
  file: string,
  table: unknown,
  known: readonly string[],
  place: readonly (string | number)[],
  locate: Locate,
): Promise<void> {
  const unknown = Object.keys(table as object).find((key) => !known.includes(key))
  if (unknown === undefined) return
  const option = [...place, unknown]
  const hint = didYouMean(unknown, known) || ` Known are ${known.join(', ')}.`
  throw new ConfigError(`unknown key "${unknown}".${hint}`, {
    file,
    option: option.join('.'),
    ...(await locate(option)),
  })
}

/** Refuses unknown keys and values of a wrong kind. A null stands for a key left out, as in Python's JSON. */
async function checkTable(
  file: string,
  table: unknown,
  place: readonly (string | number)[],
  locate: Locate,
): Promise<Partial<Record<PromptKey, unknown>>> {
  if (!isTable(table)) {
    const details = { file, option: place.join('.'), ...(await locate(place)) }
    throw new ConfigError(`expected a table of prompt keys, found ${JSON.stringify(table)}`, details)
  }
  await checkNames(file, table, Object.keys(promptKeys), place, locate)
  const given = Object.entries(table).filter(([, value]) => value !== null)
  for (const [key, value] of given) {
    const { check, expected } = promptKeys[key as PromptKey]
    if (check(value)) continue
    const option = [...place, key]
    const details = { file, option: option.join('.'), ...(await locate(option)) }
    throw new ConfigError(`${key} must be ${expected}, found ${JSON.stringify(value)}`, details)
  }
  return Object.fromEntries(given)
}

async function promptOf(
  file: string,
  table: Partial<Record<PromptKey, unknown>>,
  place: readonly (string | number)[],
  locate: Locate,
): Promise<PromptSpec> {
  if (table.prompt === undefined) {
    const details = { file, option: [...place, 'prompt'].join('.'), ...(await locate(place)) }
    throw new ConfigError('expected a key "prompt" with the text to draw, found none', details)
  }
  return promptFromTable(table)
}
