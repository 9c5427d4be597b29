/** The values that one dataset or subset sees, and where each stands. */
import {
  type DatasetOptionName,
  type DatasetOptionValue,
  datasetOption,
  flagOf,
  type OptionLevel,
} from './datasetOptions.ts'
import { FloatLiteral, type OptionTable, plainNumber } from './datasetSchema.ts'
import type { ConfigPath } from './problem.ts'

/** Where a value came from. */
export type ValueOrigin = OptionLevel | 'command line' | 'default'

/**
 * Values of command-line options by the option's table name (`batch_size` for `--train_batch_size`), used where no table of
 * the file gives one. An undefined value counts as not given.
 */
export type DatasetFallbacks = {
  readonly [Name in DatasetOptionName]?: DatasetOptionValue<Name> | undefined
}

/** One table of the configuration on the way from the innermost level outwards. */
export interface Scope {
  readonly origin: OptionLevel
  readonly path: ConfigPath
  readonly table: OptionTable
}

/** The values visible from a table, innermost first, and a record of where each came from. */
export class Lookup {
  readonly origins: Partial<Record<DatasetOptionName, ValueOrigin>> = {}
  constructor(
    readonly scopes: readonly Scope[],
    readonly fallbacks: DatasetFallbacks,
  ) {}

  /** First given value: tables inside out, then the command line, then the default. `false`, 0 and `""` are given values. */
  get<Name extends DatasetOptionName>(name: Name): DatasetOptionValue<Name> | undefined {
    const found = this.#find(name)
    const fallback = this.fallbacks[name]
    if (found !== undefined) {
      this.origins[name] = found.scope.origin
      return plainValue(found.scope.table[found.key]) as DatasetOptionValue<Name>
    }
    this.origins[name] = fallback === undefined ? 'default' : 'command line'
    return (fallback ?? datasetOption(name).default) as DatasetOptionValue<Name> | undefined
  }

  /** As `get`, for an option that is required or has a default. */
  need<Name extends DatasetOptionName>(name: Name): DatasetOptionValue<Name> {
    return this.get(name) as DatasetOptionValue<Name>
  }

  /** The key or the command-line option that gives the option its value, or the innermost table when none does. */
  placeOf(name: DatasetOptionName): ConfigPath {
    const found = this.#find(name)
    if (found !== undefined) return [...found.scope.path, found.key]
    return this.fallbacks[name] === undefined ? this.scopes[0]!.path : ['command line', flagOf(datasetOption(name))]
  }

  #find(name: DatasetOptionName): { readonly scope: Scope; readonly key: string } | undefined {
    const { alias, levels } = datasetOption(name)
    for (const scope of this.scopes) {
      if (!levels.includes(scope.origin)) continue
      for (const key of alias === undefined ? [name] : [alias, name]) {
        if (Object.hasOwn(scope.table, key) && scope.table[key] !== undefined) return { scope, key }
      }
    }
    return undefined
  }
}

function plainValue(value: unknown): unknown {
  if (value instanceof FloatLiteral) return plainNumber(value)
  if (Array.isArray(value)) return value.map(plainValue)
  if (typeof value !== 'object' || value === null || value instanceof Date) return value
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, plainValue(each)]))
}
