/**
 * Values written as Python literals, as `--optimizer_args` and `--lr_scheduler_args` have them: what Python's `ast.literal_eval`
 * takes, without dictionaries, sets, bytes and complex numbers.
 */
import { ConfigError } from '../util/errors.ts'
import { pythonFloatRepr } from '../util/pythonFloat.ts'

/** A tuple and a list are both arrays. */
export type PythonLiteral = null | boolean | number | string | readonly PythonLiteral[]

export interface ReadLiteral {
  readonly value: PythonLiteral
  /** What Python's `str` makes of it: `(0.9, 0.999)`, `1e-05`, `True`. Metadata records this. */
  readonly text: string
}

/**
 * Reads a literal: numbers (`.9`, `1e-3`, `1_000`, `0x10`, `-2`), `True`, `False`, `None`, texts in single or double quotes, tuples and
 * lists. Values with commas between them are a tuple without brackets too.
 *
 * @throws ConfigError that says what was expected, and at which character counted from 1
 */
export function readPythonLiteral(source: string): ReadLiteral {
  return new LiteralReader(source).readAll()
}

/** An item with Python's `repr` of it; texts differ between `repr` and `str`. */
interface Item {
  readonly value: PythonLiteral
  readonly repr: string
}

const numberPattern = new RegExp(
  [
    '0[xX](?:_?[0-9a-fA-F])+',
    '0[oO](?:_?[0-7])+',
    '0[bB](?:_?[01])+',
    String.raw`(?:\d(?:_?\d)*)?\.\d(?:_?\d)*(?:[eE][+-]?\d(?:_?\d)*)?`,
    String.raw`\d(?:_?\d)*\.?(?:[eE][+-]?\d(?:_?\d)*)?`,
  ].join('|'),
  'y',
)

const escapes: Readonly<Record<string, string>> = {
  ...{ '\n': '', '\\': '\\', "'": "'", '"': '"', a: '\x07', b: '\b', f: '\f', n: '\n', r: '\r', t: '\t', v: '\v' },
}

class LiteralReader {
  readonly #source: string
  #at = 0
  #depth = 0

  constructor(source: string) {
    this.#source = source
  }

  readAll(): ReadLiteral {
    this.#skipSpace()
    const first = this.#item()
    this.#skipSpace()
    let item = first
    if (this.#peek() === ',') {
      const items = [first, ...this.#more('')]
      item = tuple(items)
    }
    if (this.#at < this.#source.length) throw this.#wrong('nothing more')
    return { value: item.value, text: typeof item.value === 'string' ? item.value : item.repr }
  }

  /** What follows the first item of a list, from its comma to before `end`; '' is the end of the text. */
  #more(end: string): Item[] {
    const items: Item[] = []
    for (;;) {
      this.#skipSpace()
      if (this.#peek() === end) return items
      if (this.#peek() !== ',') throw this.#wrong(end === '' ? 'a comma' : `a comma or "${end}"`)
      this.#at++
      this.#skipSpace()
      if (this.#peek() === end) return items
      items.push(this.#item())
    }
  }

  #item(): Item {
    const next = this.#peek()
    if (next === '(' || next === '[') return this.#bracketed(next)
    if (next === "'" || next === '"') return this.#text(false)
    if (next === '+' || next === '-') {
      this.#at++
      this.#skipSpace()
      const { value, repr } = this.#number()
      return next === '+' ? { value, repr } : { value: -value, repr: value === 0 && repr === '0' ? '0' : `-${repr}` }
    }
    if (/[\d.]/.test(next)) return this.#number()
    const word = /[A-Za-z_][A-Za-z_0-9]*/y
    word.lastIndex = this.#at
    const name = word.exec(this.#source)?.[0]
    if (name === undefined) throw this.#wrong('a value')
    const quoted = this.#source[this.#at + name.length]
    if (/^[uUrR]$/.test(name) && (quoted === "'" || quoted === '"')) {
      this.#at++
      return this.#text(name.toLowerCase() === 'r')
    }
    const constants = { True: true, False: false, None: null }
    if (!Object.hasOwn(constants, name)) throw this.#unknownWord(name)
    this.#at += name.length
    return { value: constants[name as keyof typeof constants], repr: name }
  }

  #number(): Item & { readonly value: number } {
    numberPattern.lastIndex = this.#at
    const found = numberPattern.exec(this.#source)?.[0]
    if (found === undefined) throw this.#wrong('a number')
    const after = this.#source[this.#at + found.length] ?? ''
    if (/[\w.]/.test(after)) throw this.#wrong('a number', this.#source.slice(this.#at).match(/^[\w.]+/)![0])
    const digits = found.replaceAll('_', '')
    const whole = /^(?:0[xXoObB]|\d+$)/.test(digits)
    if (/^0\d*[1-9]/.test(digits) && whole && !/^0[xXoObB]/.test(digits))
      throw this.#wrong('a number without leading zeros', found)
    this.#at += found.length
    const value = Number(digits)
    return { value, repr: whole ? BigInt(digits).toString() : pythonFloatRepr(value) }
  }

  #text(raw: boolean): Item {
    const start = this.#at
    const quote = this.#source[this.#at++]!
    let value = ''
    for (;;) {
      const next = this.#source[this.#at]
      if (next === undefined || next === '\n') {
        this.#at = start
        throw this.#wrong(`a text that ends with ${quote}`)
      }
      this.#at++
      if (next === quote) return { value, repr: textRepr(value) }
      if (next !== '\\') value += next
      else value += raw ? next + (this.#source[this.#at++] ?? '') : this.#escape()
    }
  }

  /** The character after a backslash that has been read. */
  #escape(): string {
    const rest = this.#source.slice(this.#at)
    const code = /^(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-7]{1,3}))/.exec(rest)
    if (code) {
      const point =
        code[4] === undefined ? Number.parseInt(code[1] ?? code[2] ?? code[3]!, 16) : Number.parseInt(code[4], 8)
      if (point > 0x10ffff) throw this.#wrong('a character up to \\U0010ffff')
      this.#at += code[0].length
      return String.fromCodePoint(point)
    }
    const letter = rest[0] ?? ''
    if (/[xuUN]/.test(letter)) throw this.#wrong('the digits of a character after the backslash')
    this.#at += letter.length
    return escapes[letter] ?? `\\${letter}`
  }

  #bracketed(open: '(' | '['): Item {
    const close = open === '(' ? ')' : ']'
    if (++this.#depth > 100) throw this.#wrong('at most 100 brackets in each other')
    this.#at++
    this.#skipSpace()
    const items: Item[] = []
    let commas = false
    if (this.#peek() !== close) {
      items.push(this.#item())
      this.#skipSpace()
      commas = this.#peek() === ','
      items.push(...this.#more(close))
    }
    this.#at++
    this.#depth--
    if (open === '[') return { value: values(items), repr: `[${reprs(items)}]` }
    return items.length === 1 && !commas ? items[0]! : tuple(items)
  }

  #peek(): string {
    return this.#source[this.#at] ?? ''
  }

  #skipSpace(): void {
    while (/^\s$/.test(this.#peek())) this.#at++
  }

  #wrong(expected: string, found?: string): ConfigError {
    const next = this.#peek()
    const what = found ?? next
    const place = what === '' ? 'the end' : JSON.stringify(what)
    return new ConfigError(`expected ${expected} at character ${this.#at + 1}, found ${place}`)
  }

  #unknownWord(name: string): ConfigError {
    const lower = name.toLowerCase()
    const constant = ['True', 'False', 'None'].find((word) => word.toLowerCase() === lower)
    const advice =
      lower === 'null'
        ? 'Python writes None'
        : constant !== undefined
          ? `Python writes ${constant}`
          : lower === 'inf' || lower === 'infinity'
            ? 'write 1e999 for infinity'
            : `a text needs quotes: '${name}'`
    return new ConfigError(`expected a value at character ${this.#at + 1}, found ${JSON.stringify(name)}; ${advice}`)
  }
}

function values(items: readonly Item[]): PythonLiteral[] {
  return items.map(({ value }) => value)
}

function reprs(items: readonly Item[]): string {
  return items.map(({ repr }) => repr).join(', ')
}

function tuple(items: readonly Item[]): Item {
  return { value: values(items), repr: items.length === 1 ? `(${items[0]!.repr},)` : `(${reprs(items)})` }
}

/** Python's `repr` of a text. */
function textRepr(text: string): string {
  const quote = text.includes("'") && !text.includes('"') ? '"' : "'"
  const named: Readonly<Record<string, string>> = { '\\': '\\\\', '\n': '\\n', '\r': '\\r', '\t': '\\t' }
  const escaped = Array.from(text, (character) => {
    if (character === quote) return `\\${quote}`
    const code = character.codePointAt(0)!
    if (named[character] !== undefined) return named[character]
    return code < 32 || code === 127 ? `\\x${code.toString(16).padStart(2, '0')}` : character
  })
  return quote + escaped.join('') + quote
}
