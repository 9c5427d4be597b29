/** Options of a training in a TOML file (`--config_file`). */
import { readFile } from 'node:fs/promises'
import { ConfigError } from '../util/errors.ts'
import { parseToml } from './configText.ts'
import { FloatLiteral, plainNumber, showValue } from './datasetSchema.ts'
import { locateToml } from './locate.ts'
import type { ConfigPath } from './problem.ts'
import {
  expectedTrainValue,
  type GivenTrainOptions,
  needlessTrainOptions,
  readTrainValue,
  refusalOf,
  type TrainerName,
  type TrainOption,
  type TrainOptionReading,
  trainOptionsOf,
  type ValueReading,
} from './trainOptions.ts'

/**
 * Reads options from a TOML file; `.toml` is added to a name without it. Options stand at the top level or in tables, whose
 * names mean nothing.
 *
 * @throws ConfigError when the file cannot be read or is not TOML; what is wrong with single keys is in the result
 */
export async function readTrainConfigFile(path: string, trainer: TrainerName): Promise<TrainOptionReading> {
  const file = trainConfigPath(path)
  const source = await readText(file)
  const raw = (await parseToml(source, file)) as Readonly<Record<string, unknown>>
  const found = flatten(raw)
  const given: Record<string, unknown> = {}
  const unreadable = new Set<string>()
  const problems: { readonly path: ConfigPath; readonly message: string }[] = []
  for (const { path, key, value } of found) {
    const earlier = found.find((other) => other.key === key)!
    const reading =
      earlier.path === path ? readKey(key, value, trainer) : { problem: `"${key}" is given twice; remove one` }
    if (reading === 'nothing asked') continue
    if ('value' in reading) {
      given[key] = reading.value
    } else {
      problems.push({ path, message: reading.problem })
      unreadable.add(key)
    }
  }
  return { given: given as GivenTrainOptions, unreadable, problems: await place(problems, file, source) }
}

/** The file that `--config_file` names. */
export function trainConfigPath(path: string): string {
  return path.toLowerCase().endsWith('.toml') ? path : `${path}.toml`
}

async function place(
  problems: readonly { readonly path: ConfigPath; readonly message: string }[],
  file: string,
  source: string,
): Promise<string[]> {
  if (problems.length === 0) return []
  const locate = await locateToml(source)
  return problems.map(({ path, message }) => new ConfigError(message, { file, ...locate(path) }).message)
}

async function readText(file: string): Promise<string> {
  let bytes: Uint8Array
  try {
    bytes = await readFile(file)
  } catch (error) {
    const reason =
      (error as NodeJS.ErrnoException).code === 'ENOENT' ? 'no such file: check --config_file' : String(error)
    throw new ConfigError(`cannot read the configuration file: ${reason}`, { file }, { cause: error })
  }
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch (error) {
    throw new ConfigError('a configuration file must be UTF-8 text: save it again as UTF-8', { file }, { cause: error })
  }
}

interface Entry {
  readonly path: ConfigPath
  readonly key: string
  readonly value: unknown
}

/** Keys of the top level and of its tables, in file order within each. */
function flatten(raw: Readonly<Record<string, unknown>>): Entry[] {
  return Object.entries(raw).flatMap(([key, value]): Entry[] => {
    if (!isTable(value)) return [{ path: [key], key, value }]
    return Object.entries(value).map(([inner, each]) => ({ path: [key, inner], key: inner, value: each }))
  })
}

function isTable(value: unknown): value is Readonly<Record<string, unknown>> {
  const isObject = typeof value === 'object' && value !== null
  return isObject && !Array.isArray(value) && !(value instanceof Date) && !(value instanceof FloatLiteral)
}

function readKey(key: string, value: unknown, trainer: TrainerName): ValueReading | 'nothing asked' {
  if (key === 'config_file' || key === 'output_config') return { problem: `"${key}" belongs on the command line` }
  const option = trainOptionsOf(trainer).get(key)
  if (option !== undefined) return readTomlValue(option, value)
  // A switch that is off asks for what is done anyway, and an empty text for nothing.
  if (Object.hasOwn(needlessTrainOptions, key) && (value === false || value === '')) return 'nothing asked'
  return { problem: refusalOf(key, key, trainer) }
}

function readTomlValue(option: TrainOption, value: unknown): ValueReading {
  const { name, type, choices } = option
  const reading = ((): ValueReading | undefined => {
    if (type === 'flag') return typeof value === 'boolean' ? { value } : undefined
    if (type === 'list') {
      return Array.isArray(value) && value.every((item) => typeof item === 'string') ? { value } : undefined
    }
    if ((type === 'resolution' || type === 'range') && Array.isArray(value))
      return readTrainValue(option, value.map(type === 'range' ? plainNumber : String).join(','))
    if ((type === 'number' || type === 'steps') && value instanceof FloatLiteral)
      return readTrainValue(option, String(value.value))
    const isNumeric = type === 'integer' || type === 'number'
    const takesNumber = isNumeric || type === 'resolution' || type === 'steps' || choices !== undefined
    const takesText = !isNumeric
    if ((takesNumber && typeof value === 'number') || (takesText && typeof value === 'string')) {
      return readTrainValue(option, String(value))
    }
    return undefined
  })()
  if (reading === undefined) {
    const expected = type === 'flag' ? 'true or false' : expectedTrainValue(option)
    const found = option.secret ? 'something else' : showValue(value)
    return { problem: `"${name}" must be ${expected}, found ${found}` }
  }
  return 'problem' in reading ? { problem: `"${name}" ${reading.problem}` } : reading
}
