import type { ZodType } from 'zod'
import { didYouMean } from '../util/nearest.ts'
import {
  commandLineOnlyOptions,
  type DatasetOption,
  datasetOptions,
  expectedValue,
  findTwin,
  levelsInWords,
  type OptionLevel,
  optionsAt,
} from './datasetOptions.ts'
import { type ConfigPath, type ConfigProblem, pathInWords } from './problem.ts'

/** A float literal with a whole value. TOML keeps `512.0` and `512` apart, JavaScript numbers do not. */
export class FloatLiteral {
  constructor(readonly value: number) {}
}

/** A number that may be written with or without a fraction. */
export function plainNumber(value: unknown): unknown {
  return value instanceof FloatLiteral ? value.value : value
}

/** A table of options that has passed validation. */
export type OptionTable = Readonly<Record<string, unknown>>

/** The tree of a dataset configuration that has passed validation. */
export interface RawDatasetConfig {
  readonly general?: OptionTable | undefined
  readonly datasets?: readonly (OptionTable & { readonly subsets?: readonly OptionTable[] | undefined })[] | undefined
}

/**
 * Everything wrong with the shape of a parsed dataset configuration: unknown and misplaced keys, wrong types, values out of
 * range. An empty list means `raw` is a `RawDatasetConfig`.
 */
export async function validateDatasetConfig(raw: unknown): Promise<ConfigProblem[]> {
  schema ??= makeSchema()
  const { error } = (await schema).safeParse(raw)
  if (error === undefined) return []
  return error.issues.flatMap((issue): ConfigProblem[] => {
    const path = issue.path.map((part) => (typeof part === 'symbol' ? String(part) : part))
    if (issue.code === 'unrecognized_keys') {
      return issue.keys.map((key) => ({ path: [...path, key], message: unknownKey(path, key) }))
    }
    return [{ path, message: wrongValue(path, valueAt(raw, path)) }]
  })
}

/** Made once, when it is first needed. */
let schema: Promise<ZodType> | undefined

async function makeSchema(): Promise<ZodType> {
  const z = await import('zod')
  const numberSchema = ({ minimum = Number.NEGATIVE_INFINITY, maximum = Number.POSITIVE_INFINITY }: DatasetOption) =>
    z.preprocess(plainNumber, z.number().min(minimum).max(maximum))
  const valueSchemas = {
    integer: ({ minimum = Number.MIN_SAFE_INTEGER, maximum = Number.MAX_SAFE_INTEGER }: DatasetOption) =>
      z.int().min(minimum).max(maximum),
    number: numberSchema,
    boolean: () => z.boolean(),
    text: ({ choices, notEmpty }: DatasetOption) =>
      choices === undefined ? z.string().min(notEmpty ? 1 : 0) : z.enum(choices),
    table: () => z.record(z.string(), z.unknown()),
    range: (option: DatasetOption) => z.tuple([numberSchema(option), numberSchema(option)]),
    resolution: ({ minimum = 1 }: DatasetOption) => {
      const side = z.int().min(minimum)
      return z.union([side, z.tuple([side, side])])
    },
  } satisfies Record<DatasetOption['type'], (option: DatasetOption) => ZodType>
  const tableSchema = (level: OptionLevel, extra: Record<string, ZodType> = {}): ZodType => {
    const shape: Record<string, ZodType> = { ...extra }
    for (const [name, option] of optionsAt(level)) {
      shape[name] = valueSchemas[option.type](option).optional()
    }
    return z.strictObject(shape)
  }
  const datasetSchema = tableSchema('dataset', { subsets: z.array(tableSchema('subset')).optional() })
  return z.strictObject({
    general: tableSchema('general').optional(),
    datasets: z.array(datasetSchema).optional(),
  })
}

/** The table a path leads into. */
function levelOf(path: ConfigPath): OptionLevel | undefined {
  if (path[0] === 'general') return 'general'
  if (path[0] !== 'datasets' || path.length < 2) return undefined
  return path[2] === 'subsets' && path.length >= 4 ? 'subset' : 'dataset'
}

function unknownKey(table: ConfigPath, key: string): string {
  const level = levelOf(table)
  const place = table.length === 0 ? 'at the top level' : `in ${pathInWords(table)}`
  const misplaced = (datasetOptions as readonly DatasetOption[]).find((option) =>
    [option.name, option.alias].includes(key),
  )
  if (misplaced !== undefined) {
    return `option "${key}" is not allowed ${place}: move it to ${levelsInWords(misplaced.levels)}`
  }
  const twin = findTwin(key)
  if (twin !== undefined) {
    const where =
      level !== undefined && twin.levels.includes(level) ? '' : `, and stands in ${levelsInWords(twin.levels)}`
    return `option "${key}" is called "${twin.name}" in a dataset configuration${where}`
  }
  if (commandLineOnlyOptions.includes(key)) {
    return `option "${key}" does not belong in a dataset configuration: give it on the command line as --${key}`
  }
  const known = level === undefined ? ['general', 'datasets'] : [...optionsAt(level).keys()]
  if (level === 'dataset') known.push('subsets')
  const hint = didYouMean(key, known)
  const accepted = level === undefined ? ' The top level holds [general] and [[datasets]] only.' : ''
  return `unknown option "${key}" ${place}.${hint}${hint === '' ? accepted : ''}`
}

function wrongValue(path: ConfigPath, value: unknown): string {
  const level = levelOf(path)
  const name = String(path.findLast((part) => typeof part === 'string') ?? '')
  const option = level && optionsAt(level).get(name)
  if (option === undefined) {
    if (path.length === 0) return `the configuration must be a table, found ${showValue(value)}`
    const kind =
      typeof path.at(-1) === 'number' || name === 'general' ? 'a table' : `a list of tables ([[${keysOnly(path)}]])`
    const isNamedOnTheWay = path.length === 1 && typeof value === 'object' && value !== null && 'subsets' in value
    const hint = isNamedOnTheWay ? '. Put a line [[datasets]] before the first [[datasets.subsets]]' : ''
    return `${pathInWords(path)} must be ${kind}, found ${showValue(value)}${hint}`
  }
  const index = path.at(-1)
  const found = typeof index === 'number' ? `${showValue(value)} at index ${index}` : showValue(value)
  return `option "${name}" must be ${expectedValue(option)}, found ${found}`
}

function keysOnly(path: ConfigPath): string {
  return path.filter((part) => typeof part === 'string').join('.')
}

function valueAt(tree: unknown, path: ConfigPath): unknown {
  let value = tree
  for (const part of path) {
    if (typeof value !== 'object' || value === null) return undefined
    value = (value as Record<string | number, unknown>)[part]
  }
  return value
}

/** A value as it would stand in the file, shortened. */
export function showValue(value: unknown): string {
  if (value === undefined) return 'nothing'
  if (value instanceof FloatLiteral) return `${value.value.toFixed(1)} (a float)`
  if (value instanceof Date) return `the date ${value.toISOString()}`
  if (typeof value === 'number' && !Number.isFinite(value)) return String(value)
  const text =
    JSON.stringify(value, (_, part: unknown) => (part instanceof FloatLiteral ? `${part.value}.0` : part)) ??
    String(value)
  return text.length > 60 ? `${text.slice(0, 57)}...` : text
}
