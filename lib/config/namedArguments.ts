/** Arguments in the form `key=value` with Python literals: which there are, whether the values fit, and what to say when not. */
import { ConfigError } from '../util/errors.ts'
import { didYouMean } from '../util/nearest.ts'
import { pythonFloatRepr } from '../util/pythonFloat.ts'
import { type PythonLiteral, readPythonLiteral } from './pythonLiteral.ts'

/** `rates`: one number for all parameter groups, or one for each. */
export type NamedArgumentKind = 'number' | 'integer' | 'boolean' | 'text' | 'numbers' | 'rates'

/** One argument that something takes. */
export interface NamedArgument {
  /** As Python calls it. */
  readonly name: string
  readonly kind: NamedArgumentKind
  /** How many `numbers` there must be. Default: at least one. */
  readonly count?: number
  /** Whether `None` is a value. Default false. */
  readonly optional?: boolean
  readonly required?: boolean
  /** Of every number. */
  readonly minimum?: number
  /** Every number is less. */
  readonly below?: number
  readonly choices?: readonly string[]
  /** The only value there is here, and why. */
  readonly only?: { readonly value: boolean; readonly because: string }
}

export type ArgumentValues = Readonly<Record<string, PythonLiteral>>

export interface ArgumentReading {
  readonly values: ArgumentValues
  /** Each value as Python's `str` prints it. */
  readonly texts: Readonly<Record<string, string>>
  readonly problems: readonly string[]
}

/**
 * Splits `key=value` texts and reads the values; whether something takes them is the matter of {@link checkArguments}.
 *
 * @param option begins the messages: `--optimizer_args`
 */
export function readArguments(option: string, sources: readonly string[]): ArgumentReading {
  const values: Record<string, PythonLiteral> = {}
  const texts: Record<string, string> = {}
  const problems: string[] = []
  for (const source of sources) {
    const equals = source.indexOf('=')
    const name = source.slice(0, Math.max(0, equals)).trim()
    if (!/^[A-Za-z_]\w*$/.test(name)) {
      problems.push(`${option} must be key=value, such as weight_decay=0.01, found ${JSON.stringify(source)}`)
      continue
    }
    if (Object.hasOwn(values, name)) {
      problems.push(`${option}: ${name} is given twice; remove one`)
      continue
    }
    try {
      const { value, text } = readPythonLiteral(source.slice(equals + 1))
      values[name] = value
      texts[name] = text
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error
      problems.push(`${option}: the value of ${name}: ${error.message}`)
    }
  }
  return { values, texts, problems }
}

/**
 * What is wrong with arguments for something that takes `known`.
 *
 * @param option begins the messages: `--optimizer_args`
 * @param owner what takes them: `AdamW`
 */
export function checkArguments(
  option: string,
  owner: string,
  known: readonly NamedArgument[],
  given: ArgumentValues,
): string[] {
  const names = known.map(({ name }) => name)
  const problems: string[] = []
  for (const [name, value] of Object.entries(given)) {
    const argument = known.find((each) => each.name === name)
    if (argument === undefined) {
      const list = names.length === 0 ? `${owner} takes none` : `${owner} has ${names.join(', ')}`
      problems.push(`${option}: unknown argument "${name}"; ${list}.${didYouMean(name, names)}`)
    } else if (argument.only !== undefined && value === !argument.only.value) {
      problems.push(
        `${option}: ${owner} takes only ${name}=${pythonText(argument.only.value)}: ${argument.only.because}`,
      )
    } else if (!fits(argument, value)) {
      problems.push(`${option}: ${name} of ${owner} must be ${expectedArgument(argument)}, found ${pythonText(value)}`)
    }
  }
  for (const argument of known)
    if (argument.required && !Object.hasOwn(given, argument.name))
      problems.push(`${option}: ${owner} needs ${argument.name}, ${expectedArgument(argument)}`)
  return problems
}

function fits(argument: NamedArgument, value: PythonLiteral): boolean {
  const { kind, count, optional = false, minimum = Number.NEGATIVE_INFINITY, below, choices } = argument
  if (value === null) return optional
  const inRange = (each: PythonLiteral): boolean =>
    typeof each === 'number' && each >= minimum && !(below !== undefined && each >= below)
  switch (kind) {
    case 'number':
      return inRange(value)
    case 'integer':
      return inRange(value) && Number.isInteger(value)
    case 'boolean':
      return typeof value === 'boolean'
    case 'text':
      return typeof value === 'string' && (choices === undefined || choices.includes(value))
    case 'numbers':
      return isList(value) && value.length > 0 && value.length === (count ?? value.length) && value.every(inRange)
    case 'rates':
      return inRange(value) || (isList(value) && value.length > 0 && value.every(inRange))
    default:
      return kind satisfies never
  }
}

function isList(value: PythonLiteral): value is readonly PythonLiteral[] {
  return Array.isArray(value)
}

/** What a value must be, in words: `2 numbers from 0 to below 1`. */
export function expectedArgument({ kind, count, optional, minimum, below, choices }: NamedArgument): string {
  const least = minimum === undefined ? '' : below === undefined ? ` of at least ${minimum}` : ` from ${minimum}`
  const range = below === undefined ? least : `${least}${minimum === undefined ? '' : ' to'} below ${below}`
  const words: Readonly<Record<NamedArgumentKind, string>> = {
    number: `a number${range}`,
    integer: `a whole number${range}`,
    boolean: 'True or False',
    text: choices === undefined ? 'a text in quotes' : choices.map((choice) => `'${choice}'`).join(' or '),
    numbers: `${count ?? 'one or more'} numbers${range}`,
    rates: `a number${range}, or one for each parameter group`,
  }
  return optional ? `${words[kind]}, or None` : words[kind]
}

/** A value as Python's `str` prints it; a whole number as an int. */
export function pythonText(value: PythonLiteral): string {
  if (value === null) return 'None'
  if (typeof value === 'boolean') return value ? 'True' : 'False'
  if (typeof value === 'number') return Number.isSafeInteger(value) ? String(value) : pythonFloatRepr(value)
  if (typeof value === 'string') return value
  const items = value.map((item) => (typeof item === 'string' ? JSON.stringify(item) : pythonText(item)))
  return items.length === 1 ? `(${items[0]},)` : `(${items.join(', ')})`
}
