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
  if (value === null) return 'null'
  if (typeof value === 'boolean' || typeof value === 'bigint') return String(value)
  if (typeof value === 'string') return pythonJsonString(value)
  if (typeof value === 'number') return Number.isInteger(value) ? BigInt(value).toString() : jsonFloat(value)
  if (value instanceof PythonFloat) return jsonFloat(value.value)
  const inner = { ...(indent !== undefined && { indent }), level: level + 1 }
  const [open, close, items] = Array.isArray(value)
    ? ['[', ']', value.map((item: PythonJson) => pythonJson(item, inner))]
    : ['{', '}', members(value as Exclude<typeof value, readonly PythonJson[]>, inner)]
  if (indent === undefined || items.length === 0) return open + items.join(', ') + close
  const start = `\n${' '.repeat(indent * (level + 1))}`
  return `${open}${start}${items.join(`,${start}`)}\n${' '.repeat(indent * level)}${close}`
}

function members(
  value: ReadonlyMap<string, PythonJson> | { readonly [key: string]: PythonJson },
  layout: PythonJsonLayout,
): string[] {
  const entries: Iterable<[string, PythonJson]> = value instanceof Map ? value : Object.entries(value)
  return Array.from(entries, ([key, item]) => `${pythonJsonString(key)}: ${pythonJson(item, layout)}`)
}

function jsonFloat(value: number): string {
  return pythonFloatRepr(value).replace('inf', 'Infinity').replace('nan', 'NaN')
}

/** A text as a JSON literal. */
export function pythonJsonString(text: string): string {
  return JSON.stringify(text).replace(
    /[\u007f-\uffff]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}
