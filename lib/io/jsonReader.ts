/** A JSON reader for large files: value by value, from a window of the file's bytes, with Python's numbers. */
import { isUtf8 } from 'node:buffer'
import { type JsonValue, PythonFloat } from '../util/pythonJson.ts'

/** The window ends inside a value although the text goes on behind it: to be read again with more bytes. */
export class JsonCutShort extends Error {}

/** A text that is not JSON: what was expected and found, and at which byte of the window. */
export class JsonFault extends Error {
  constructor(
    readonly at: number,
    expected: string,
    found: string,
  ) {
    super(`expected ${expected}, found ${found}`)
  }
}

export interface JsonReaderOptions {
  /** Whether the text ends where the window does. */
  readonly isLast: boolean
  /** Called for a key that its object has had before. The later value stands at the earlier place, as in Python. */
  readonly onRepeatedKey?: (key: string) => void
}

/** Objects and lists inside each other. Recursive readers and writers hold more. */
const MOST_LEVELS = 100
/** Python refuses longer ints as well. */
const MOST_DIGITS = 4300
/** Names of fields recur in every entry of a file; one text serves all. */
const MOST_NAMES = 1000

const [QUOTE, BACKSLASH, COMMA, COLON] = [0x22, 0x5c, 0x2c, 0x3a]
const [OPEN_OBJECT, CLOSE_OBJECT, OPEN_LIST, CLOSE_LIST] = [0x7b, 0x7d, 0x5b, 0x5d]
const literals: Readonly<Record<string, JsonValue>> = {
  true: true,
  false: false,
  null: null,
  NaN: new PythonFloat(Number.NaN),
  Infinity: new PythonFloat(Number.POSITIVE_INFINITY),
  '-Infinity': new PythonFloat(Number.NEGATIVE_INFINITY),
}
const numberForm = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?$/

/** Reads values from bytes. Every method throws {@link JsonCutShort} or {@link JsonFault}, and nothing else. */
export class JsonReader {
  position = 0
  readonly #bytes: Buffer
  readonly #options: JsonReaderOptions
  readonly #names: Map<string, string>

  /** @param names texts of keys already met, shared by the windows of one file */
  constructor(bytes: Buffer, options: JsonReaderOptions, names = new Map<string, string>()) {
    this.#bytes = bytes
    this.#options = options
    this.#names = names
  }

  /** The next byte that is no white space, without passing it; undefined at the end of the text. */
  peek(): number | undefined {
    for (; this.position < this.#bytes.length; this.position++) {
      const byte = this.#bytes[this.position]!
      if (byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09) return byte
    }
    if (!this.#options.isLast) throw new JsonCutShort()
    return undefined
  }

  /** Passes one of some bytes. @returns it */
  expect(words: string, ...accepted: readonly number[]): number {
    const byte = this.peek()
    if (byte === undefined || !accepted.includes(byte)) throw this.#fault(words)
    this.position++
    return byte
  }

  readValue(level = 1): JsonValue {
    const byte = this.peek()
    if (byte === QUOTE) return this.readText()
    if (byte !== OPEN_OBJECT && byte !== OPEN_LIST) return this.#readScalar()
    if (level > MOST_LEVELS)
      throw new JsonFault(this.position, `at most ${MOST_LEVELS} objects and lists inside each other`, 'more')
    return byte === OPEN_OBJECT ? this.readObject(new Map(), level) : this.#readList(level)
  }

  /** Reads an object's members into a map. */
  readObject<M extends Map<string, JsonValue>>(members: M, level = 1): M {
    this.expect('"{"', OPEN_OBJECT)
    if (this.peek() === CLOSE_OBJECT) {
      this.position++
      return members
    }
    do {
      const key = this.#readName()
      const { size } = members
      members.set(key, this.readValue(level + 1))
      if (members.size === size) this.#options.onRepeatedKey?.(key)
    } while (this.expect('"," or "}"', COMMA, CLOSE_OBJECT) === COMMA)
    return members
  }

  /** Reads `"key":`. */
  readKey(): string {
    if (this.peek() !== QUOTE) throw this.#fault('a key in double quotes')
    const key = this.readText()
    this.expect('":" after a key', COLON)
    return key
  }

  #readName(): string {
    const key = this.readKey()
    const known = this.#names.get(key)
    if (known !== undefined) return known
    if (this.#names.size < MOST_NAMES) this.#names.set(key, key)
    return key
  }

  #readList(level: number): JsonValue[] {
    this.position++
    const items: JsonValue[] = []
    if (this.peek() === CLOSE_LIST) {
      this.position++
      return items
    }
    do items.push(this.readValue(level + 1))
    while (this.expect('"," or "]"', COMMA, CLOSE_LIST) === COMMA)
    return items
  }

  /** Reads a text, whose opening quote is next. */
  readText(): string {
    const bytes = this.#bytes
    const start = this.position
    let at = start + 1
    let hasEscapes = false
    /** All bytes or-ed: above 0x7f when one is not ASCII. */
    let seen = 0
    for (let byte = bytes[at]; byte !== QUOTE; byte = bytes[at]) {
      if (byte === undefined) {
        if (!this.#options.isLast) throw new JsonCutShort()
        throw new JsonFault(start, 'a text that ends with a double quote', 'the end of the file')
      }
      if (byte < 0x20) throw new JsonFault(at, 'text', `the control character 0x${byte.toString(16).padStart(2, '0')}`)
      if (byte === BACKSLASH) {
        hasEscapes = true
        at++
      }
      seen |= byte
      at++
    }
    if (seen > 0x7f && !isUtf8(bytes.subarray(start, at)))
      throw new JsonFault(start, 'a text in UTF-8', 'other bytes; save the file again as UTF-8')
    const encoding = seen > 0x7f ? 'utf8' : 'latin1'
    let text: string
    if (!hasEscapes) text = bytes.toString(encoding, start + 1, at)
    else {
      try {
        text = JSON.parse(bytes.toString(encoding, start, at + 1)) as string
      } catch {
        throw new JsonFault(start, 'a text with valid escapes', shorten(bytes.toString(encoding, start, at + 1)))
      }
    }
    this.position = at + 1
    return text
  }

  #readScalar(): JsonValue {
    let end = this.position
    while (end < this.#bytes.length && isWordByte(this.#bytes[end]!)) end++
    if (end === this.#bytes.length && !this.#options.isLast) throw new JsonCutShort()
    const word = this.#bytes.toString('latin1', this.position, end)
    const value = Object.hasOwn(literals, word) ? literals[word] : readNumber(word)
    if (value === undefined) throw this.#fault('a value')
    this.position = end
    return value
  }

  #fault(expected: string): JsonFault {
    const byte = this.peek()
    if (byte === undefined) return new JsonFault(this.position, expected, 'the end of the file')
    const text = this.#bytes.toString('utf8', this.position, this.position + 40).split('\n', 1)[0]!
    return new JsonFault(this.position, expected, JSON.stringify(shorten(text)))
  }
}

function shorten(text: string): string {
  return text.length > 20 ? `${text.slice(0, 20)}...` : text
}

/** Letters, digits, `+`, `-` and `.`: what numbers and names of values are made of. */
function isWordByte(byte: number): boolean {
  const letter = byte | 0x20
  return (letter >= 0x61 && letter <= 0x7a) || (byte >= 0x30 && byte <= 0x39) || [0x2b, 0x2d, 0x2e].includes(byte)
}

/** An int as a number, or as a bigint where a number would round it; anything with a point or an exponent as a float. */
function readNumber(word: string): JsonValue | undefined {
  if (word.length > MOST_DIGITS || !numberForm.test(word)) return undefined
  const value = Number(word)
  if (/[.eE]/.test(word)) return new PythonFloat(value)
  if (!Number.isSafeInteger(value)) return BigInt(word)
  return value === 0 ? 0 : value
}
