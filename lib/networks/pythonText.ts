import { ArgumentError } from '../util/errors.ts'
import { pythonFloatRepr } from '../util/pythonFloat.ts'

export { pythonFloatRepr } from '../util/pythonFloat.ts'

/**
 * Values as Python prints them. Tools that read LoRA metadata expect the texts that Python's `str` and `json.dumps`
 * make: `True`, `None`, `1e-05`, `(512, 512)`.
 */

/** A number that is a float in Python even when its value is whole: `1.0`, not `1`. */
export class PythonFloat {
  constructor(readonly value: number) {}
}

/** A plain number is an int in Python when whole and a float otherwise. A list prints as a tuple. */
export type PythonScalar = null | boolean | number | string | PythonFloat
export type PythonValue = PythonScalar | readonly PythonScalar[]

/** What `json.dumps` can be given. A Map keeps the order of keys that look like numbers, an object does not. */
export type PythonJson =
  | PythonScalar
  | readonly PythonJson[]
  | ReadonlyMap<string, PythonJson>
  | { readonly [key: string]: PythonJson }

/** Shorthand for an optional float: undefined and null are None. */
export function float(value: number | null | undefined): PythonFloat | null {
  return value === null || value === undefined ? null : new PythonFloat(value)
}

/** Python's `str(value)`. */
export function pythonStr(value: PythonValue): string {
  if (typeof value === 'string') return value
  if (value === null) return 'None'
  if (typeof value === 'boolean') return value ? 'True' : 'False'
  if (typeof value === 'number') return Number.isInteger(value) ? BigInt(value).toString() : pythonFloatRepr(value)
  if (value instanceof PythonFloat) return pythonFloatRepr(value.value)
  const items = value.map((item) => (typeof item === 'string' ? quote(item) : pythonStr(item)))
  return items.length === 1 ? `(${items[0]},)` : `(${items.join(', ')})`
}

/** Python's `repr` of a text without quotes, backslashes or control characters. */
function quote(text: string): string {
  if (/[^ -~]|['\\]/.test(text))
    throw new ArgumentError('pythonStr', 'a text in a tuple', 'plain ASCII', JSON.stringify(text))
  return `'${text}'`
}

/** Python's `json.dumps(value)`: a space after `,` and `:`, other than ASCII escaped. */
export function pythonJson(value: PythonJson): string {
  if (value === null) return 'null'
  if (typeof value === 'boolean') return String(value)
  if (typeof value === 'string') return jsonString(value)
  if (typeof value === 'number') return jsonNumber(pythonStr(value))
  if (value instanceof PythonFloat) return jsonNumber(pythonFloatRepr(value.value))
  if (Array.isArray(value)) return `[${value.map(pythonJson).join(', ')}]`
  const entries: Iterable<[string, PythonJson]> = value instanceof Map ? value : Object.entries(value)
  const pairs = Array.from(entries, ([key, item]) => `${jsonString(key)}: ${pythonJson(item)}`)
  return `{${pairs.join(', ')}}`
}

function jsonNumber(text: string): string {
  return text.replace('inf', 'Infinity').replace('nan', 'NaN')
}

function jsonString(text: string): string {
  const escaped = (unit: string): string => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`
  // DEL needs no escape in JSON, and Python leaves it as it is.
  return JSON.stringify(text).replace(/[\u0080-\uffff]/g, escaped)
}
