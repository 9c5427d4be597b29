import { ConfigError } from '../util/errors.ts'

/** Where a value stands in a configuration: `['datasets', 0, 'subsets', 1, 'keep_tokens']`. */
export type ConfigPath = readonly (string | number)[]

/** One thing wrong with a configuration. */
export interface ConfigProblem {
  /** The offending key, or the table that lacks one. */
  readonly path: ConfigPath
  readonly message: string
}

/** A place in a file, both numbers 1-based. */
export interface Position {
  readonly line: number
  readonly column: number
}

/** Finds the place of a path in a file; undefined when the path is not from the file. */
export type Locate = (path: ConfigPath) => Position | undefined

/** A path as people write it: `datasets[0].subsets[1].keep_tokens`. */
export function pathInWords(path: ConfigPath): string {
  let words = ''
  for (const part of path) {
    if (typeof part === 'number') words += `[${part}]`
    else words += words === '' ? part : `.${part}`
  }
  return words
}

/** An option in a message, as it was written where it stands. */
export function nameAt(path: ConfigPath): string {
  return path[0] === 'command line' ? String(path[1]) : `option "${path.at(-1)}"`
}

/**
 * One error for all problems, in file order, one per line in the `file:line:column: message` form that editors understand.
 * The error's details point at the first.
 */
export function configError(problems: readonly ConfigProblem[], file: string | undefined, locate: Locate): ConfigError {
  const unique = new Map(problems.map((problem) => [JSON.stringify(problem), problem]))
  const placed = [...unique.values()]
    .map((problem) => ({ ...problem, position: locate(problem.path) }))
    .sort((a, b) => order(a.position) - order(b.position))
  const [first, ...rest] = placed
  const fileOf = (path: ConfigPath): string | undefined => (path[0] === 'command line' ? undefined : file)
  const lines = rest.map(({ path, message, position }) => {
    const prefix = new ConfigError('', { file: fileOf(path), ...position }).message
    return `\n${prefix}${message}`
  })
  const { path: blamed = [], position } = first ?? {}
  const details = { file: fileOf(blamed), ...position, option: pathInWords(blamed) }
  return new ConfigError((first?.message ?? '') + lines.join(''), details)
}

function order(position: Position | undefined): number {
  return position === undefined ? Number.POSITIVE_INFINITY : position.line * 1e6 + position.column
}
