/** Optimizers by name: found, told their arguments, made. The names, and what each takes, stand in `optimizerTable.ts`. */
import { type ArgumentValues, checkArguments, type NamedArgument } from '../config/namedArguments.ts'
import { ConfigError } from '../util/errors.ts'
import { didYouMean } from '../util/nearest.ts'
import type { OptimizerGroup } from './customOptimizer.ts'
import type { Optimizer } from './optimizer.ts'
import type { RoundingSettings } from './optimizerBase.ts'
import { optimizerTable } from './optimizerTable.ts'

/** An argument of an optimizer: its Python name, and our name of the setting where it is not the same in camel case. */
export interface OptimizerArgument extends NamedArgument {
  readonly setting?: string
}

/** One optimizer. */
export interface OptimizerRow {
  /** As sd-scripts calls it. */
  readonly name: string
  /** Module and class in Python, which the metadata of saved files records. */
  readonly recorded: string
  readonly aliases?: readonly string[]
  /** Whether its name is found in any case; a class of torch.optim is not. */
  readonly anyCase: boolean
  readonly arguments: readonly OptimizerArgument[]
  /** Arguments that the trainer adds when they are not given, and says so. */
  readonly added?: ArgumentValues
  /**
   * Where learning rates come from. `given`: the options and the schedule. `estimated`: a factor near 1 of what the optimizer
   * estimates. `relative`: the optimizer, as long as its argument relative_step is on. `scheduleFree`: the options alone.
   */
  readonly rates: 'given' | 'estimated' | 'relative' | 'scheduleFree'
  /** Whether a step can be taken parameter by parameter: see `beginStep` of {@link Optimizer}. */
  readonly inParts: boolean
  /** Whether states lie in files, or, on a GPU, in host memory. Default false. */
  readonly paged?: true
  /** What users should know who choose it. */
  readonly note?: string
  readonly make: (groups: readonly OptimizerGroup[], settings: Readonly<Record<string, unknown>>) => Optimizer
}

/** The names that `--optimizer_type` takes. */
export const optimizerNames: readonly string[] = optimizerTable.map(({ name }) => name)

/**
 * Finds an optimizer by name: those of sd-scripts in any case, classes of torch.optim by their exact names, and any of them by its
 * path in Python, with or without the inner modules: `torch.optim.AdamW`, `bitsandbytes.optim.adamw.AdamW8bit`.
 *
 * @throws ConfigError that offers the nearest name
 */
export function findOptimizer(type: string): OptimizerRow {
  const lower = type.toLowerCase()
  const found = optimizerTable.find(
    ({ name, aliases = [], anyCase }) =>
      [name, ...aliases].includes(type) || (anyCase && [name, ...aliases].some((each) => each.toLowerCase() === lower)),
  )
  if (found !== undefined) return found
  const byPath = type.includes('.') ? optimizerTable.find(({ recorded }) => isPathOf(type, recorded)) : undefined
  if (byPath !== undefined) return byPath
  const hint = didYouMean(type.split('.').at(-1)!, optimizerNames)
  throw new ConfigError(
    `"${type}" is no optimizer; there are ${optimizerNames.join(', ')}, and your own as ./file.js#Class.${hint}`,
    { option: 'optimizer_type' },
  )
}

/** Whether a path names a recorded class, perhaps without its inner modules. */
function isPathOf(path: string, recorded: string): boolean {
  const [given, whole] = [path.split('.'), recorded.split('.')]
  return given.at(-1) === whole.at(-1) && given.slice(0, -1).every((part, i) => part === whole[i])
}

/**
 * What is wrong with the arguments of an optimizer.
 * @param option begins the messages: `--optimizer_args`
 */
export function checkOptimizerArguments(option: string, row: OptimizerRow, given: ArgumentValues): string[] {
  if (!Object.hasOwn(given, 'lr')) return checkArguments(option, row.name, row.arguments, given)
  const { lr: _, ...others } = given
  return [
    `${option}: the learning rate is --learning_rate, not lr`,
    ...checkArguments(option, row.name, row.arguments, others),
  ]
}

/**
 * Makes an optimizer by name.
 *
 *   const optimizer = createOptimizer('Lion', groups, { weight_decay: 0.1 })
 *
 * @param values arguments by their Python names; None leaves the default
 * @param rounding how bfloat16 parameters are rounded. Default: parameters are float32
 * @throws ConfigError for unknown names, ArgumentError for values out of range
 */
export function createOptimizer(
  type: string,
  groups: readonly OptimizerGroup[],
  values: ArgumentValues = {},
  rounding: RoundingSettings = {},
): Optimizer {
  const row = findOptimizer(type)
  const all = { ...row.added, ...values }
  const problems = checkOptimizerArguments('arguments', row, all)
  if (problems.length > 0) throw new ConfigError(problems.join('\n'))
  return row.make(groups, { ...settingsOf(row, all), ...rounding })
}

function settingsOf(row: OptimizerRow, values: ArgumentValues): Record<string, unknown> {
  const settings: Record<string, unknown> = {}
  for (const { name, setting, only } of row.arguments)
    if (Object.hasOwn(values, name) && values[name] !== null && only === undefined)
      settings[setting ?? camelCase(name)] = values[name]
  return settings
}

function camelCase(name: string): string {
  return name.replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase())
}
