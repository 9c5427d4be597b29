/** JSON as Python's `json` package writes it: the bytes that other tools' files have. */
import { pythonFloatRepr } from './pythonFloat.ts'

/** A number that is a float in Python even when its value is whole: `1.0`, not `1`. */
export class PythonFloat {
  constructor(readonly value: number) {}
}

/** A plain number is an int in Python when whole and a float otherwise; ints beyond 2^53 are bigints. */
export type PythonScalar = null | boolean | number | bigint | string | PythonFloat

/** What a JSON text is read into: Maps for objects, because they keep the order of all keys and take any name for a key. */
export type JsonValue = PythonScalar | readonly JsonValue[] | ReadonlyMap<string, JsonValue>

/** What `json.dumps` can be given. A Map keeps the order of keys that look like numbers, an object does not. */
export type PythonJson =
  | PythonScalar
  | readonly PythonJson[]
  | ReadonlyMap<string, PythonJson>
  | { readonly [key: string]: PythonJson }

export interface PythonJsonLayout {
  /** Spaces of each level, as of `json.dumps(value, indent=2)`. Default: everything on one line. */
  readonly indent?: number
  /** The level that the value itself stands at. Default 0. */
  readonly level?: number
}

/** Python's `json.dumps(value)`: a space after `,` and `:` on one line, other than printable ASCII escaped. */
export function pythonJson(value: PythonJson, { indent, level = 0 }: PythonJsonLayout = {}): string {
  return write(value, indent, level)
}

function write(value: PythonJson, indent: number | undefined, level: number): string {
  if (typeof value === 'string') return pythonJsonString(value)
  if (value === null) return 'null'
  if (typeof value === 'boolean' || typeof value === 'bigint') return String(value)
  if (typeof value === 'number') return jsonNumber(value)
  if (value instanceof PythonFloat) return jsonFloat(value.value)
  const start = indent === undefined ? '' : `\n${' '.repeat(indent * (level + 1))}`
  const between = indent === undefined ? ', ' : `,${start}`
  let text = ''
  if (Array.isArray(value)) {
    for (const item of value as readonly PythonJson[])
      text += `${text === '' ? start : between}${write(item, indent, level + 1)}`
    return `[${text}${text === '' ? '' : endOf(indent, level)}]`
  }
  for (const [key, item] of membersOf(value as Exclude<typeof value, readonly PythonJson[]>))
    text += `${text === '' ? start : between}${pythonJsonString(key)}: ${write(item, indent, level + 1)}`
  return `{${text}${text === '' ? '' : endOf(indent, level)}}`
}

function membersOf(
  value: ReadonlyMap<string, PythonJson> | { readonly [key: string]: PythonJson },
): Iterable<[string, PythonJson]> {
  return value instanceof Map ? value : Object.entries(value)
}

/** What stands before a closing bracket. */
function endOf(indent: number | undefined, level: number): string {
  return indent === undefined ? '' : `\n${' '.repeat(indent * level)}`
}

function jsonNumber(value: number): string {
  if (Number.isSafeInteger(value)) return String(value)
  return Number.isInteger(value) ? BigInt(value).toString() : jsonFloat(value)
}

function jsonFloat(value: number): string {
  return pythonFloatRepr(value).replace('inf', 'Infinity').replace('nan', 'NaN')
}

const notAscii = /[\u007f-\uffff]/

/** A text as a JSON literal. */
export function pythonJsonString(text: string): string {
  const literal = JSON.stringify(text)
  return notAscii.test(literal) ? literal.replace(allNotAscii, escaped) : literal
}

const allNotAscii = new RegExp(notAscii, 'g')

function escaped(unit: string): string {
  return `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`
}
