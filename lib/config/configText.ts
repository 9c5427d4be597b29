import { ConfigError } from '../util/errors.ts'
import { FloatLiteral } from './datasetSchema.ts'
import { positionAt, walkJson } from './locate.ts'

/** Parses TOML; integers become numbers, floats with whole values `FloatLiteral`s. @throws ConfigError with the place */
export async function parseToml(source: string, file: string): Promise<unknown> {
  const { parse, TomlError } = await import('smol-toml')
  try {
    return markFloats(parse(source, { integersAsBigInt: true }))
  } catch (error) {
    if (!(error instanceof TomlError)) throw error
    const reason = error.message.split('\n')[0]!.replace(/^Invalid TOML document: /, '')
    const hint = reason.includes('escape') ? ' (write paths with backslashes in single quotes)' : ''
    throw new ConfigError(`not valid TOML: ${reason}${hint}\n${withoutTokens(error.codeblock)}`, {
      file,
      line: error.line,
      column: error.column,
    })
  }
}

/** Lines of a file as a message may show them. */
function withoutTokens(lines: string): string {
  return lines.replace(/(\b\w*(?:token|api_key)["']?\s*=).*/g, '$1 (not shown)')
}

/** Turns the parser's bigints into numbers and its floats into `FloatLiteral`s, so that `512.0` is not taken for `512`. */
function markFloats(value: unknown): unknown {
  if (typeof value === 'bigint') return Number(value)
  if (typeof value === 'number') return Number.isInteger(value) ? new FloatLiteral(value) : value
  if (Array.isArray(value)) return value.map(markFloats)
  if (typeof value !== 'object' || value === null || value instanceof Date) return value
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, markFloats(inner)]))
}

/** More than any configuration has; deeper ones would exhaust the stack of whoever walks them. */
const mostLevels = 100

/**
 * Parses JSON, in which a key may stand once in its object, as in TOML.
 *
 * @throws ConfigError with the place
 */
export function parseJson(source: string, file: string): unknown {
  const fail = (message: string, offset: number | undefined, options?: ErrorOptions): never => {
    const position = offset === undefined ? {} : positionAt(source, offset)
    throw new ConfigError(`not valid JSON: ${message}`, { file, ...position }, options)
  }
  let value: unknown
  try {
    value = JSON.parse(source)
  } catch (error) {
    const { message } = error as SyntaxError
    // Some of the engine's messages give the position, some quote the text around it, one means the end.
    const offset = message.includes('end of JSON input') ? source.length : /position (\d+)/.exec(message)?.[1]
    fail(message, offset === undefined ? undefined : Number(offset), { cause: error })
  }
  const seen = new Set<string>()
  walkJson(source, (path, offset) => {
    if (path.length > mostLevels) fail(`nested more than ${mostLevels} levels deep`, offset)
    const key = JSON.stringify(path)
    if (seen.has(key)) fail(`"${path.at(-1)}" is given twice; remove one`, offset)
    seen.add(key)
  })
  return value
}
