/**
 * Places of keys in TOML and JSON text. Parsing for positions is slower than parsing for values, so it happens only once
 * something is known to be wrong.
 */
import type { AST } from 'toml-eslint-parser'
import type { ConfigPath, Locate, Position } from './problem.ts'

type Places = Map<string, Position>

function keyOf(path: ConfigPath): string {
  return JSON.stringify(path)
}

/** Falls back to the nearest enclosing table, which is the right place for a key that is missing. */
function locateIn(places: Places): Locate {
  return (path) => {
    for (let length = path.length; length > 0; length--) {
      const position = places.get(keyOf(path.slice(0, length)))
      if (position !== undefined) return position
    }
    return undefined
  }
}

/** Positions of every table and key of a TOML document that is known to parse. */
export async function locateToml(source: string): Promise<Locate> {
  const { ParseError, parseTOML } = await import('toml-eslint-parser')
  const places: Places = new Map()
  const note = (path: ConfigPath, node: AST.TOMLNode): void => {
    const { line, column } = node.loc.start
    if (!places.has(keyOf(path))) places.set(keyOf(path), { line, column: column + 1 })
  }
  const visitValue = (path: ConfigPath, value: AST.TOMLContentNode): void => {
    if (value.type === 'TOMLInlineTable') {
      for (const entry of value.body) visitEntry(path, entry)
    } else if (value.type === 'TOMLArray') {
      value.elements.forEach((element, index) => {
        note([...path, index], element)
        visitValue([...path, index], element)
      })
    }
  }
  const visitEntry = (path: ConfigPath, entry: AST.TOMLKeyValue): void => {
    let full = path
    for (const part of entry.key.keys) {
      full = [...full, part.type === 'TOMLBare' ? part.name : part.value]
      note(full, entry)
    }
    visitValue(full, entry.value)
  }
  let nodes: AST.TOMLTopLevelTable['body']
  try {
    nodes = parseTOML(source).body[0].body
  } catch (error) {
    // The two parsers may differ at the edges of the language; then messages have no place.
    if (!(error instanceof ParseError)) throw error
    return () => undefined
  }
  for (const node of nodes) {
    if (node.type === 'TOMLKeyValue') {
      visitEntry([], node)
      continue
    }
    // Tables that are only named on the way to this one begin here too.
    for (let length = 1; length <= node.resolvedKey.length; length++) note(node.resolvedKey.slice(0, length), node)
    for (const entry of node.body) visitEntry(node.resolvedKey, entry)
  }
  return locateIn(places)
}

/** Positions of every key of a JSON document that is known to parse. */
export function locateJson(source: string): Locate {
  const places: Places = new Map()
  const lineStarts = [0]
  for (let at = source.indexOf('\n'); at >= 0; at = source.indexOf('\n', at + 1)) lineStarts.push(at + 1)
  walkJson(source, (path, offset) => {
    const line = lineStarts.findLastIndex((start) => start <= offset)
    places.set(keyOf(path), { line: line + 1, column: offset - lineStarts[line]! + 1 })
  })
  return locateIn(places)
}

/**
 * Visits every key and element of a JSON document that is known to parse, in file order.
 *
 * @param visit gets the path and the offset of its first character
 */
export function walkJson(source: string, visit: (path: ConfigPath, offset: number) => void): void {
  const tokens = /"(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s{}[\],:"]+/g
  const next = (): RegExpExecArray => tokens.exec(source)!
  const readValue = (path: ConfigPath, token: RegExpExecArray): void => {
    if (token[0] === '{') readObject(path)
    else if (token[0] === '[') readArray(path)
  }
  const readObject = (path: ConfigPath): void => {
    for (let token = next(); token[0] !== '}'; token = next()) {
      if (token[0] === ',') continue
      const inner = [...path, JSON.parse(token[0]) as string]
      visit(inner, token.index)
      next()
      readValue(inner, next())
    }
  }
  const readArray = (path: ConfigPath): void => {
    let index = 0
    for (let token = next(); token[0] !== ']'; token = next()) {
      if (token[0] === ',') continue
      const inner = [...path, index++]
      visit(inner, token.index)
      readValue(inner, token)
    }
  }
  readValue([], next())
}

/** The 1-based position of a character offset. */
export function positionAt(source: string, offset: number): Position {
  const before = source.slice(0, offset).split('\n')
  return { line: before.length, column: before.at(-1)!.length + 1 }
}
