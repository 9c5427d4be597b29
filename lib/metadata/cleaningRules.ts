/** The rules by which captions and tags are cleaned, from a file. */
import { readFile } from 'node:fs/promises'
import { parseJson, parseToml } from '../config/configText.ts'
import { assetPath } from '../util/assets.ts'
import { ConfigError } from '../util/errors.ts'
import { didYouMean } from '../util/nearest.ts'

/** One replacement in captions. */
export interface CaptionReplacement {
  readonly from: string
  readonly to: string
}

export interface CleaningRules {
  /** Applied one after the other, each until it changes nothing. */
  readonly captionReplacements: readonly CaptionReplacement[]
  /** Each matches the tags of a group, of which a picture with several people may have one. */
  readonly tagGroups: readonly RegExp[]
}

/** One word of a tag: Python's `[\w\-]+`. */
export const TAG_WORD = '[\\p{L}\\p{N}_-]+'
const keys = ['caption_replacements', 'tag_groups']

/**
 * Reads rules from a TOML or (by its extension) JSON file with the keys `caption_replacements`, a list of `[text, replacement]`,
 * and `tag_groups`, a list of lists of tags in which `*` is any one word. A key that is left out has the default rules. The
 * default file, `assets/cleaningRules.toml`, is of that form.
 *
 * @param path default: the default rules alone
 * @throws ConfigError when the file cannot be read or is not of that form, or a replacement would never come to an end
 */
export async function readCleaningRules(path?: string): Promise<CleaningRules> {
  const defaults = await readRules(assetPath('cleaningRules.toml'))
  const given = path === undefined ? {} : await readRules(path)
  return { captionReplacements: [], tagGroups: [], ...defaults, ...given }
}

async function readRules(path: string): Promise<Partial<CleaningRules>> {
  let source: string
  try {
    source = new TextDecoder('utf-8', { fatal: true }).decode(await readFile(path))
  } catch (error) {
    throw new ConfigError(`the rules cannot be read: ${(error as Error).message}`, { file: path }, { cause: error })
  }
  const isJson = path.toLowerCase().endsWith('.json')
  const value = isJson ? parseJson(source, path) : await parseToml(source, path)
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new ConfigError(`expected a table with ${keys.join(' and ')}`, { file: path })
  const given = new Map(Object.entries(value))
  for (const key of given.keys()) {
    if (!keys.includes(key))
      throw new ConfigError(`"${key}" is not known; expected ${keys.join(' or ')}.${didYouMean(key, keys)}`, {
        file: path,
        option: key,
      })
  }
  const replacements = given.get('caption_replacements')
  const groups = given.get('tag_groups')
  return {
    ...(replacements !== undefined && { captionReplacements: readReplacements(replacements, path) }),
    ...(groups !== undefined && { tagGroups: readGroups(groups, path) }),
  }
}

function readReplacements(value: unknown, file: string): CaptionReplacement[] {
  return listOf(value, 'caption_replacements', file).map((item, index) => {
    const option = `caption_replacements[${index}]`
    const fail = (problem: string): ConfigError => new ConfigError(`${option}: ${problem}`, { file, option })
    if (!isTexts(item) || item.length !== 2) throw fail('expected a list of two texts, [text, replacement]')
    const [from, to] = item as readonly [string, string]
    if (from === '') throw fail('the text to be replaced is empty')
    if (to !== from && to.includes(from))
      throw fail(`"${to}" holds "${from}" again, so that replacing it would never come to an end`)
    return { from, to }
  })
}

function readGroups(value: unknown, file: string): RegExp[] {
  return listOf(value, 'tag_groups', file).map((item, index) => {
    const option = `tag_groups[${index}]`
    if (!isTexts(item) || item.length === 0)
      throw new ConfigError(`${option}: expected a list of tags`, { file, option })
    const tags = item.map((tag) =>
      tag.replace(/[\\^$.*+?()[\]{}|/]/g, (sign) => (sign === '*' ? TAG_WORD : `\\${sign}`)),
    )
    return new RegExp(`^(?:${tags.join('|')})$`, 'u')
  })
}

function listOf(value: unknown, option: string, file: string): unknown[] {
  if (!Array.isArray(value)) throw new ConfigError(`${option}: expected a list`, { file, option })
  return value
}

function isTexts(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((item) => typeof item === 'string')
}
