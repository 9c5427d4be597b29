/** What follows from the table of dataset options: types of values, what each level accepts, words for messages. */
import { type DatasetOption, datasetOptions, type OptionLevel } from './datasetOptionTable.ts'
import { trainOptions } from './trainOptionTable.ts'

export { type DatasetKind, type DatasetOption, datasetOptions, type OptionLevel } from './datasetOptionTable.ts'

export type DatasetOptionName = (typeof datasetOptions)[number]['name']

type Row<Name extends DatasetOptionName> = Extract<(typeof datasetOptions)[number], { readonly name: Name }>
interface ValueOfType {
  integer: number
  number: number
  boolean: boolean
  text: string
  resolution: number | readonly [number, number]
  range: readonly [number, number]
  table: Readonly<Record<string, unknown>>
}

type ValueOfRow<R> = R extends { readonly choices: readonly (infer Choice)[] }
  ? Choice
  : R extends { readonly type: infer Type extends DatasetOption['type'] }
    ? ValueOfType[Type]
    : never

/** The type of an option's value as written, derived from its row. */
export type DatasetOptionValue<Name extends DatasetOptionName> = ValueOfRow<Row<Name>>

/** The row of an option. */
export function datasetOption(name: DatasetOptionName): DatasetOption {
  return datasetOptions.find((option) => option.name === name)!
}

/** The row of a key of a file or of an alias; undefined when there is none. */
export function findDatasetOption(key: string): DatasetOption | undefined {
  return (datasetOptions as readonly DatasetOption[]).find(({ name, alias }) => name === key || alias === key)
}

/** The option as the command line writes it, or its key where it has no such option. */
export function flagOf({ name, commandLine }: DatasetOption): string {
  return commandLine === undefined ? name : `--${commandLine}`
}

/** The options accepted at one level, by every accepted spelling. */
export function optionsAt(level: OptionLevel): Map<string, DatasetOption> {
  const accepted = new Map<string, DatasetOption>()
  for (const option of datasetOptions as readonly DatasetOption[]) {
    if (!option.levels.includes(level)) continue
    accepted.set(option.name, option)
    if (option.alias !== undefined) accepted.set(option.alias, option)
  }
  return accepted
}

/** The row whose value a command-line option of another name gives, such as `train_batch_size` for `batch_size`. */
export function findTwin(commandLine: string): DatasetOption | undefined {
  return (datasetOptions as readonly DatasetOption[]).find((option) => option.commandLine === commandLine)
}

/** Options that belong on the command line; in a dataset file they are an error that says so. */
export const commandLineOnlyOptions: readonly string[] = [...new Set(trainOptions.map(({ name }) => name))].filter(
  (name) => findDatasetOption(name) === undefined && findTwin(name) === undefined,
)

/** What a value of this option must be, in words, for messages. */
export function expectedValue(option: DatasetOption): string {
  const { type, minimum, maximum, choices, notEmpty } = option
  const least = minimum === undefined ? '' : ` of at least ${minimum}`
  const range = maximum === undefined ? least : ` from ${minimum} to ${maximum}`
  switch (type) {
    case 'integer':
      return `a whole number${range}`
    case 'number':
      return `a number${range}`
    case 'range':
      return `a list of two numbers ([least, most]), each${least}`
    case 'boolean':
      return 'true or false'
    case 'table':
      return 'a table ({ name = value })'
    case 'text':
      if (choices !== undefined) return `one of ${choices.join(', ')}`
      return notEmpty ? 'text in quotes, not empty' : 'text in quotes'
    case 'resolution':
      return `one whole number or a list of two ([width, height]), each at least ${minimum}`
    default:
      return type satisfies never
  }
}

const levelNames: Record<OptionLevel, string> = {
  general: '[general]',
  dataset: '[[datasets]]',
  subset: '[[datasets.subsets]]',
}

/** The tables an option may stand in: `[general] or [[datasets]]`. */
export function levelsInWords(levels: readonly OptionLevel[]): string {
  const names = levels.map((level) => levelNames[level])
  return names.length < 2 ? names.join('') : `${names.slice(0, -1).join(', ')} or ${names.at(-1)}`
}

/** The option table as Markdown, for the documentation. */
export function describeDatasetOptions(): string {
  const rows = (datasetOptions as readonly DatasetOption[]).map((option) => {
    const name = option.alias === undefined ? `\`${option.name}\`` : `\`${option.name}\` (also \`${option.alias}\`)`
    const fallback = option.commandLine === undefined ? '' : `\`--${option.commandLine}\``
    const byDefault = option.requiredFor ? 'required' : option.default === undefined ? 'none' : `\`${option.default}\``
    return `| ${name} | ${expectedValue(option)} | ${byDefault} | ${levelsInWords(option.levels)} | ${fallback} | ${option.doc} |`
  })
  const header = '| option | value | default | where | command line | meaning |\n|---|---|---|---|---|---|'
  return `${header}\n${rows.join('\n')}\n`
}
