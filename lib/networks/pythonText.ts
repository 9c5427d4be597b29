import { ArgumentError } from '../util/errors.ts'
import { pythonFloatRepr } from '../util/pythonFloat.ts'
import { PythonFloat, type PythonScalar } from '../util/pythonJson.ts'

export { pythonFloatRepr } from '../util/pythonFloat.ts'
export { PythonFloat, type PythonJson, type PythonScalar, pythonJson } from '../util/pythonJson.ts'

/**
 * Values as Python prints them. Tools that read LoRA metadata expect the texts that Python's `str` and `json.dumps`
 * make: `True`, `None`, `1e-05`, `(512, 512)`.
 */

/** A list prints as a tuple. */
export type PythonValue = PythonScalar | readonly PythonScalar[]

/** Shorthand for an optional float: undefined and null are None. */
export function float(value: number | null | undefined): PythonFloat | null {
  return value === null || value === undefined ? null : new PythonFloat(value)
}

/** Python's `str(value)`. */
export function pythonStr(value: PythonValue): string {
  if (typeof value === 'string') return value
  if (value === null) return 'None'
  if (typeof value === 'boolean') return value ? 'True' : 'False'
  if (typeof value === 'bigint') return String(value)
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
