/** Writes values as pickles of protocol 2, the one that `torch.save` uses and every Python reads. */
import { ArgumentError } from '../util/errors.ts'

/**
 * What can be written: None, bool, int (whole numbers and bigints), float (other numbers), str, tuple, list, dict, and the
 * names of classes. Values read from another file fit as long as they hold nothing else.
 */
export type PickleWritable =
  | null
  | boolean
  | number
  | bigint
  | string
  | readonly PickleWritable[]
  | ReadonlyMap<string | number, PickleWritable>
  | PickleCode

/** A value that writes itself: a tensor, a class, a call of one. */
export interface PickleCode {
  writePickle(writer: PickleWriter): void
}

/** Deepest nesting written; a container that holds itself stops here. */
const MAX_NESTING = 100

/** Collects the bytes of one pickle. */
export class PickleWriter {
  readonly #parts: Uint8Array[] = [Uint8Array.of(0x80, 2)]
  /** Memo entries of repeated names and texts, by a key that says what they are. */
  readonly #memo = new Map<string, number>()
  #nesting = 0

  /** The whole pickle. Call once, after the one value has been written. */
  finish(): Uint8Array {
    this.opcode('.')
    return Buffer.concat(this.#parts)
  }

  opcode(code: string): void {
    this.#parts.push(Buffer.from(code, 'latin1'))
  }

  write(value: PickleWritable): void {
    if (value === null) this.opcode('N')
    else if (typeof value === 'boolean') this.opcode(value ? '\x88' : '\x89')
    else if (typeof value === 'number') this.#number(value)
    else if (typeof value === 'bigint') this.#integer(value)
    else if (typeof value === 'string') this.text(value)
    else if ('writePickle' in value) value.writePickle(this)
    else this.#container(value)
  }

  #container(value: readonly PickleWritable[] | ReadonlyMap<string | number, PickleWritable>): void {
    if (++this.#nesting > MAX_NESTING) {
      throw new ArgumentError('writePickle', 'value', `nested at most ${MAX_NESTING} deep`, 'one deeper')
    }
    if (value instanceof Map) this.dictionary(value)
    else this.#list(value as readonly PickleWritable[])
    this.#nesting--
  }

  /** A dictionary on top of the stack gets these entries; an empty one is pushed first unless there is one. */
  dictionary(entries: ReadonlyMap<string | number, PickleWritable>, make: () => void = () => this.opcode('}')): void {
    make()
    if (entries.size === 0) return
    this.opcode('(')
    for (const [key, value] of entries) {
      this.write(key)
      this.write(value)
    }
    this.opcode('u')
  }

  tuple(items: readonly PickleWritable[]): void {
    if (items.length > 3) this.opcode('(')
    for (const item of items) this.write(item)
    this.opcode(items.length > 3 ? 't' : (')\x85\x86\x87'[items.length] as string))
  }

  /** The name of a class or function. */
  global(module: string, name: string): void {
    this.#once(`c${module}\n${name}`, () => this.opcode(`c${module}\n${name}\n`))
  }

  /** Applies the name pushed before to the tuple pushed last. */
  reduce(): void {
    this.opcode('R')
  }

  text(text: string): void {
    this.#once(`X${text}`, () => {
      const bytes = Buffer.from(text)
      const head = Buffer.alloc(5)
      head.write('X', 'latin1')
      head.writeUInt32LE(bytes.byteLength, 1)
      this.#parts.push(head, bytes)
    })
  }

  #list(items: readonly PickleWritable[]): void {
    this.opcode(']')
    if (items.length === 0) return
    this.opcode('(')
    for (const item of items) this.write(item)
    this.opcode('e')
  }

  #number(value: number): void {
    if (Number.isSafeInteger(value) && !Object.is(value, -0)) {
      this.#integer(BigInt(value))
      return
    }
    const bytes = Buffer.alloc(9)
    bytes.write('G', 'latin1')
    bytes.writeDoubleBE(value, 1)
    this.#parts.push(bytes)
  }

  #integer(value: bigint): void {
    if (value >= 0n && value < 256n) {
      this.#parts.push(Uint8Array.of(0x4b, Number(value)))
      return
    }
    if (value >= -(2n ** 31n) && value < 2n ** 31n) {
      const bytes = Buffer.alloc(5)
      bytes.write('J', 'latin1')
      bytes.writeInt32LE(Number(value), 1)
      this.#parts.push(bytes)
      return
    }
    const magnitude = value < 0n ? -value : value
    const length = Math.floor(magnitude.toString(2).length / 8) + 1
    if (length > 255) throw new ArgumentError('writePickle', 'integer', 'of at most 255 bytes', `${length} bytes`)
    const digits = BigInt.asUintN(8 * length, value)
      .toString(16)
      .padStart(2 * length, '0')
    this.#parts.push(Uint8Array.of(0x8a, length), Buffer.from(digits, 'hex').reverse())
  }

  /** Pushes a value the first time, and refers to it afterwards. */
  #once(key: string, write: () => void): void {
    const known = this.#memo.get(key)
    if (known === undefined) {
      write()
      this.#memo.set(key, this.#memo.size)
      this.#memoOpcode('q', 'r', this.#memo.size - 1)
    } else this.#memoOpcode('h', 'j', known)
  }

  #memoOpcode(short: string, long: string, index: number): void {
    const head = Buffer.alloc(index < 256 ? 2 : 5)
    head.write(index < 256 ? short : long, 'latin1')
    if (index < 256) head.writeUInt8(index, 1)
    else head.writeUInt32LE(index, 1)
    this.#parts.push(head)
  }
}

/** One value as a pickle of protocol 2. */
export function writePickle(value: PickleWritable): Uint8Array {
  const writer = new PickleWriter()
  writer.write(value)
  return writer.finish()
}
