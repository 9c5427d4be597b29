/** Metadata files of fine-tuning: one JSON object whose members are pictures, or lines that are one each. */
import { type ByteSource, openByteSource } from '../io/byteSource.ts'
import { JsonCutShort, JsonFault, JsonReader } from '../io/jsonReader.ts'
import { DataError } from '../util/errors.ts'
import { describeValue, MetadataEntry, problemsOf } from './metadataEntry.ts'

export interface Metadata {
  /** By key (a file's name without extension, or a path), in the order of the file. */
  readonly entries: Map<string, MetadataEntry>
  /** What is odd about the file but no reason not to use it. */
  readonly warnings: readonly string[]
}

/** Read and parsed at a time: a few milliseconds, after which other work of the process has its turn. */
const PIECE_BYTES = 1 << 18
/** A key and all that belongs to it. */
const MOST_ENTRY_BYTES = 1 << 24
/** Below the limit of a JavaScript Map, 2^24. */
const MOST_ENTRIES = 16_000_000
const SHOWN = 20
const [COMMA, OPEN, CLOSE, BYTE_ORDER_MARK] = [0x2c, 0x7b, 0x7d, 0xef]
const NEWLINE = 0x0a

/**
 * Reads a metadata file piece by piece. One that is named `.jsonl` has an object for each picture, of which `image_path` is the key, as later
 * versions of sd-scripts write it. Fields that are not known are kept, and numbers stay the ints and floats that they
 * are to Python. Keys such as `__proto__` are keys like any other. Of a key that occurs twice the last value counts, with a
 * warning.
 *
 * @throws IoError when the file cannot be read; DataError when it is not a JSON object of objects, or of objects (with line and column), or a
 *   `caption`, `tags`, `train_resolution` or `image_size` is not what it should be (with the key and the value)
 */
export async function readMetadata(path: string): Promise<Metadata> {
  const source = await openByteSource(path)
  try {
    return await new MetadataReader(path, source).read()
  } finally {
    await source.close()
  }
}

class MetadataReader {
  readonly #entries = new Map<string, MetadataEntry>()
  readonly #names = new Map<string, string>()
  readonly #repeated: string[] = []
  #repeatedCount = 0
  readonly #problems: string[] = []
  #problemCount = 0
  /** What comes next: the opening brace, an entry or the closing brace, a comma or the closing brace, nothing; or an object if any. */
  #next: 'start' | 'first' | 'more' | 'nothing' | 'line' = 'start'

  constructor(
    readonly path: string,
    readonly source: ByteSource,
  ) {
    if (path.toLowerCase().endsWith('.jsonl')) this.#next = 'line'
  }

  async read(): Promise<Metadata> {
    const { source } = this
    let held = Buffer.alloc(0)
    let pieceBytes = PIECE_BYTES
    for (let read = 0; ; ) {
      const start = read - held.length
      const room = MOST_ENTRY_BYTES - held.length
      if (room === 0)
        throw await this.#errorAt(start, `expected entries of less than ${MOST_ENTRY_BYTES} bytes, found a longer one`)
      const piece = await source.read(read, Math.min(pieceBytes, room, source.size - read))
      read += piece.byteLength
      held = Buffer.concat([held, piece])
      const used = await this.#readWindow(held, start, read === source.size)
      held = held.subarray(used)
      if (read === source.size) break
      // Most entries are small; one that is not gets windows that grow with it.
      pieceBytes = used > 0 ? PIECE_BYTES : pieceBytes * 2
    }
    this.#throwProblems()
    return { entries: this.#entries, warnings: this.#warnings() }
  }

  /** Reads as many members as the window holds whole. @returns how many bytes that were */
  async #readWindow(window: Buffer, start: number, isLast: boolean): Promise<number> {
    // Fields of one entry. An entry that the window cuts short is read again, and then they are counted.
    let repeatedFields: string[] = []
    const onRepeatedKey = (name: string): number => repeatedFields.push(name)
    const reader = new JsonReader(window, { isLast, onRepeatedKey }, this.#names)
    let used = 0
    try {
      if (start === 0 && reader.peek() === BYTE_ORDER_MARK)
        throw new JsonFault(0, 'a JSON object', 'a byte order mark; save the file as UTF-8 without one')
      for (; this.#next !== 'nothing'; used = reader.position) {
        if (this.#next === 'line') {
          repeatedFields = []
          if (reader.peek() === undefined) this.#next = 'nothing'
          else this.#readLine(reader, repeatedFields)
        } else if (this.#next === 'start') {
          reader.expect('a JSON object of pictures', OPEN)
          this.#next = 'first'
        } else if (this.#isClosed(reader)) {
          this.#next = 'nothing'
        } else {
          repeatedFields = []
          const key = reader.readKey()
          this.#readEntry(key, reader, repeatedFields)
          this.#next = 'more'
        }
      }
      if (reader.peek() !== undefined) reader.expect('nothing after the last "}"')
      return window.length
    } catch (error) {
      if (error instanceof JsonCutShort) return used
      if (!(error instanceof JsonFault)) throw error
      throw await this.#errorAt(start + error.at, error.message, { cause: error })
    }
  }

  /** Passes the closing brace of the whole, or the comma before the next entry. */
  #isClosed(reader: JsonReader): boolean {
    if (this.#next === 'more') return reader.expect('"," or "}" after an entry', COMMA, CLOSE) === CLOSE
    const isClosed = reader.peek() === CLOSE
    if (isClosed) reader.position++
    return isClosed
  }

  /** @param repeated filled while it is read */
  #readLine(reader: JsonReader, repeated: readonly string[]): void {
    reader.peek()
    const at = reader.position
    const entry = reader.readObject(new MetadataEntry())
    const key = entry.get('image_path')
    if (typeof key !== 'string')
      throw new JsonFault(at, 'an object whose "image_path" is a text', describeValue(key ?? entry))
    entry.delete('image_path')
    this.#keep(key, entry, reader, repeated)
  }

  /** @param repeated filled while it is read */
  #readEntry(key: string, reader: JsonReader, repeated: readonly string[]): void {
    if (reader.peek() !== OPEN) {
      const value = reader.readValue()
      this.#noteProblem(`${JSON.stringify(key)}: expected an object of fields, found ${describeValue(value)}`)
      return
    }
    this.#keep(key, reader.readObject(new MetadataEntry()), reader, repeated)
  }

  #keep(key: string, entry: MetadataEntry, reader: JsonReader, repeated: readonly string[]): void {
    const { size } = this.#entries
    if (size >= MOST_ENTRIES)
      throw new JsonFault(reader.position, `at most ${MOST_ENTRIES} entries`, 'more; split the file')
    this.#entries.set(key, entry)
    if (this.#entries.size === size) this.#noteRepeated(JSON.stringify(key))
    for (const name of repeated) this.#noteRepeated(`${JSON.stringify(name)} of ${JSON.stringify(key)}`)
    for (const problem of problemsOf(key, entry)) this.#noteProblem(problem)
  }

  #noteRepeated(name: string): void {
    this.#repeatedCount++
    if (this.#repeated.length < SHOWN) this.#repeated.push(name)
  }

  #noteProblem(problem: string): void {
    this.#problemCount++
    if (this.#problems.length < SHOWN) this.#problems.push(problem)
  }
  #throwProblems(): void {
    if (this.#problemCount === 0) return
    const [first, ...rest] = this.#problems
    const hidden = this.#problemCount - this.#problems.length
    const lines = [...rest, ...(hidden > 0 ? [`and ${hidden} more problems`] : [])]
    throw new DataError(this.path, [first, ...lines].join('\n'))
  }

  #warnings(): string[] {
    if (this.#repeatedCount === 0) return []
    const shown = this.#repeated.join(', ')
    const more = this.#repeatedCount > SHOWN ? `, and ${this.#repeatedCount - SHOWN} more` : ''
    return [`${this.path}: keys that occur twice, of which the last counts: ${shown}${more}`]
  }

  /** An error with the line and the column of a byte of the file, both counted from 1, the column in characters. */
  async #errorAt(at: number, message: string, options?: ErrorOptions): Promise<DataError> {
    let [line, column] = [1, 1]
    for (let start = 0; start < at; start += PIECE_BYTES) {
      for (const byte of await this.source.read(start, Math.min(PIECE_BYTES, at - start))) {
        if (byte === NEWLINE) [line, column] = [line + 1, 1]
        else if ((byte & 0xc0) !== 0x80) column++
      }
    }
    return new DataError(this.path, `not a metadata file: line ${line}, column ${column}: ${message}`, options)
  }
}
