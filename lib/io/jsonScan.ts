/** What is looked at before a JSON text of unknown origin is parsed. */

export interface JsonScanLimits {
  /** Objects and arrays inside each other. */
  readonly depth: number
  /** Values of all kinds, in all objects and arrays. */
  readonly values: number
}

const BACKSLASH = 0x5c

/**
 * Looks through a JSON text for what `JSON.parse` hides or pays dearly for: a key that occurs twice in one object (it keeps
 * the last; other readers keep the first), deep nesting, more values than anybody needs. Texts that are not JSON may pass:
 * parsing finds those.
 *
 * @returns what is wrong, as the end of a sentence that begins with "found", or undefined
 */
export function scanJson(text: string, limits: JsonScanLimits): string | undefined {
  /** The keys of each open object; undefined for arrays. */
  const open: (Set<string> | undefined)[] = []
  let values = 0
  /** In an object, the next text is a key until a colon has come. */
  let keyExpected = false
  for (let at = 0; at < text.length; at++) {
    switch (text[at]) {
      case '"': {
        const end = endOfString(text, at)
        const keys = open.at(-1)
        if (keyExpected && keys !== undefined) {
          const key = unescaped(text.slice(at, end + 1))
          if (keys.has(key)) return `the key ${JSON.stringify(key.slice(0, 200))} twice`
          keys.add(key)
          keyExpected = false
        }
        at = end
        break
      }
      case '{':
      case '[':
        keyExpected = text[at] === '{'
        open.push(keyExpected ? new Set() : undefined)
        if (open.length > limits.depth) return `objects or lists more than ${limits.depth} deep inside each other`
        if (++values > limits.values) return `more than ${limits.values} values`
        break
      case '}':
      case ']':
        open.pop()
        keyExpected = false
        break
      case ',':
        keyExpected = open.at(-1) !== undefined
        if (++values > limits.values) return `more than ${limits.values} values`
        break
    }
  }
  return undefined
}

/** Position of the closing quote of the text that opens at `start`; the end of everything when there is none. */
function endOfString(text: string, start: number): number {
  let quote = text.indexOf('"', start + 1)
  while (quote >= 0) {
    let backslashes = 0
    while (text.charCodeAt(quote - 1 - backslashes) === BACKSLASH) backslashes++
    if (backslashes % 2 === 0) return quote
    quote = text.indexOf('"', quote + 1)
  }
  return text.length
}

/** The text that a literal with its quotes stands for; a broken literal stands for itself. */
function unescaped(literal: string): string {
  if (!literal.includes('\\')) return literal.slice(1, -1)
  try {
    return JSON.parse(literal) as string
  } catch {
    return literal
  }
}
