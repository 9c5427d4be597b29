import { CheckpointError } from '../util/errors.ts'

/** Longest integer read, in bytes; Python's own text form stops at 4,300 digits. */
const MAX_INTEGER_BYTES = 1024
const MAX_INTEGER_DIGITS = 2400
/** Longest line of the text opcodes (numbers, names); strings have their own lengths. */
const MAX_LINE_BYTES = 1 << 16

/** Reads a pickle's bytes front to back. Every failure names the file, the position and the opcode. */
export class PickleCursor {
  /** Position of the next byte. */
  position = 0
  /** Position and name of the opcode being read, for messages. */
  opcodeStart = 0
  opcodeName = 'the first opcode'
  readonly #view: DataView

  constructor(
    readonly path: string,
    readonly bytes: Uint8Array,
  ) {
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  }

  fail(problem: string): CheckpointError {
    const place = `the pickle at byte ${this.opcodeStart} (${this.opcodeName})`
    return new CheckpointError(this.path, `${place}: ${problem}`)
  }

  /** The next `length` bytes, as a view. */
  take(length: number): Uint8Array {
    const left = this.bytes.byteLength - this.position
    if (length > left) throw this.fail(`expected ${length} more bytes, found ${left}; the file is cut short or damaged`)
    const start = this.position
    this.position += length
    return this.bytes.subarray(start, this.position)
  }

  uint8(): number {
    return this.#view.getUint8(this.#advance(1))
  }

  uint16(): number {
    return this.#view.getUint16(this.#advance(2), true)
  }

  uint32(): number {
    return this.#view.getUint32(this.#advance(4), true)
  }

  int32(): number {
    return this.#view.getInt32(this.#advance(4), true)
  }

  /** A length of 8 bytes. What no file can hold fails like what this one does not. */
  uint64(): number {
    return Number(this.#view.getBigUint64(this.#advance(8), true))
  }

  /** Big-endian, as pickles store doubles. */
  float64(): number {
    return this.#view.getFloat64(this.#advance(8), false)
  }

  /** A two's-complement little-endian integer of any length. */
  integer(length: number): number | bigint {
    if (length > MAX_INTEGER_BYTES) {
      throw this.fail(`expected an integer of at most ${MAX_INTEGER_BYTES} bytes, found ${length}`)
    }
    const bytes = this.take(length)
    if (length === 0) return 0
    const unsigned = BigInt(`0x${Buffer.from(bytes).reverse().toString('hex')}`)
    return asNumber(BigInt.asIntN(8 * length, unsigned))
  }

  /** The text up to the next line feed, as Latin-1; the line feed is skipped. */
  line(maxBytes: number = MAX_LINE_BYTES): string {
    const end = this.bytes.indexOf(0x0a, this.position)
    const length = (end < 0 ? this.bytes.byteLength : end) - this.position
    if (length > maxBytes) throw this.fail(`expected a line of at most ${maxBytes} bytes, found ${length}`)
    if (end < 0) throw this.fail('expected a line, found the end of the file; the file is cut short or damaged')
    const text = Buffer.from(this.take(length)).toString('latin1')
    this.position++
    return text
  }

  decimal(text: string): number | bigint {
    if (!/^[+-]?\d+$/.test(text) || text.length > MAX_INTEGER_DIGITS) {
      throw this.fail(`expected an integer of at most ${MAX_INTEGER_DIGITS} digits, found "${text.slice(0, 40)}"`)
    }
    return asNumber(BigInt(text.replace('+', '')))
  }

  utf8(length: number): string {
    const bytes = this.take(length)
    try {
      return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
    } catch {
      // Python pickles lone surrogates too, as three bytes each; a replacement character loses no tensor.
      return Buffer.from(bytes).toString('utf8')
    }
  }

  /** A byte string of Python 2: its text where it is UTF-8, otherwise one character for each byte. */
  oldString(length: number): string {
    const bytes = this.take(length)
    try {
      return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
    } catch {
      return Buffer.from(bytes).toString('latin1')
    }
  }

  #advance(length: number): number {
    const start = this.position
    this.take(length)
    return start
  }
}

function asNumber(value: bigint): number | bigint {
  const number = Number(value)
  return Number.isSafeInteger(number) ? number : value
}
