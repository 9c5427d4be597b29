import type { AST } from 'toml-eslint-parser'

/** 1-based place in a text file. */
export interface TextPlace {
  readonly line: number
  readonly column: number
}

/** Finds where a value stands in a file, given its path: `['prompt', 'subset', 0, 'width']`. */
export type Locate = (path: readonly (string | number)[]) => Promise<TextPlace | undefined>

/** Place of a character in a text. */
export function placeOf(text: string, index: number): TextPlace {
  const before = text.slice(0, index)
  return { line: before.split('\n').length, column: index - before.lastIndexOf('\n') }
}

/** Finds keys, and tables where there is no such key, in TOML text. Parses the text again: for error messages only. */
export function locateToml(text: string): Locate {
  return async (path) => {
    const { parseTOML } = await import('toml-eslint-parser')
    const wanted = path.join('.')
    let best: { readonly length: number; readonly node: AST.TOMLNode } | undefined
    const offer = (keys: readonly (string | number)[], node: AST.TOMLNode): void => {
      const here = keys.join('.')
      const fits = here === wanted || wanted.startsWith(`${here}.`)
      if (fits && keys.length > (best?.length ?? 0)) best = { length: keys.length, node }
    }
    const keysOf = ({ key }: AST.TOMLKeyValue): string[] =>
      key.keys.map((part) => (part.type === 'TOMLBare' ? part.name : part.value))
    for (const node of parseTOML(text).body[0].body) {
      if (node.type === 'TOMLKeyValue') offer(keysOf(node), node)
      else {
        offer(node.resolvedKey, node)
        for (const pair of node.body) offer([...node.resolvedKey, ...keysOf(pair)], pair.key)
      }
    }
    if (best === undefined) return undefined
    const { line, column } = best.node.loc.start
    return { line, column: column + 1 }
  }
}

/** Finds the elements of the list that a JSON text is. The text must be valid JSON. */
export function locateJsonElement(text: string): Locate {
  return async ([wanted]) => {
    let depth = 0
    let element = 0
    let expectsElement = false
    // Texts are one token, so that brackets and commas within them do not count.
    for (const { 0: token, index } of text.matchAll(/"(?:[^"\\]|\\.)*"|[[\]{},]|[^\s[\]{},"]+/g)) {
      if (depth === 1 && expectsElement && token !== ']') {
        if (element === wanted) return placeOf(text, index)
        expectsElement = false
      }
      if (token === '[' || token === '{') {
        depth++
        if (depth === 1) expectsElement = true
      } else if (token === ']' || token === '}') depth--
      else if (token === ',' && depth === 1) {
        element++
        expectsElement = true
      }
    }
    return undefined
  }
}
