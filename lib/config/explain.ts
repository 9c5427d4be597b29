/** What there is to know about one option, made from the tables of options and rules. */
import { ConfigError } from '../util/errors.ts'
import { didYouMean } from '../util/nearest.ts'
import { datasetEffects, subsetEffects } from './datasetEffects.ts'
import {
  type DatasetOption,
  datasetOptions,
  expectedValue,
  findDatasetOption,
  laterDatasetOptions,
  levelsInWords,
} from './datasetOptions.ts'
import { datasetRulesInWords } from './datasetRules.ts'
import { groupTitles, valueName, wrap } from './describeTrainOptions.ts'
import {
  expectedTrainValue,
  laterTrainOptions,
  needlessTrainOptions,
  otherTrainerOptions,
  refusalOf,
  type TrainOption,
  trainOptions,
  trainOptionsByName,
} from './trainOptions.ts'
import { trainErrors, trainNotes } from './trainRules.ts'

const rows = datasetOptions as readonly DatasetOption[]

/**
 * Explains an option of a dataset file or of `train-network`: what it does, its values, default and levels, its twin on the
 * command line, and the rules that mention it.
 *
 * @param name in a file, or on the command line with dashes
 * @param width of the lines, in characters
 * @throws ConfigError with the nearest name when there is no such option
 */
export function explainOption(name: string, width = 100): string {
  const key = name.replace(/^-+/, '').replaceAll('-', '_')
  const inFile = findDatasetOption(key) ?? rows.find(({ commandLine }) => commandLine === key)
  const flag = trainOptionsByName.get(key) ?? trainOptionsByName.get(inFile?.commandLine ?? '')
  if (inFile === undefined && flag === undefined) return explainAbsence(key)
  const names = new Set([key, ...(inFile ? [inFile.name, inFile.commandLine ?? ''] : []), ...(flag ? [flag.name] : [])])
  const rules = allRules().filter((rule) => [...names].some((each) => each !== '' && mentions(rule, each)))
  return [
    key,
    ...wrap(inFile?.doc ?? flag!.help, width, '  '),
    ...(inFile === undefined ? [] : explainInFile(inFile, width)),
    ...(flag === undefined ? [] : explainFlag(flag, inFile, width)),
    ...(rules.length === 0 ? [] : ['', 'Rules:', ...rules.flatMap((rule) => item(rule, width))]),
  ].join('\n')
}

/** The names of all options that `explainOption` knows, in groups. */
export function listOptions(width = 100): string {
  const names = (list: readonly { readonly name: string }[]): string[] =>
    wrap(list.map(({ name }) => name).join(', '), width, '  ')
  const groups = Object.entries(groupTitles).flatMap(([group, title]) => [
    '',
    `train-network: ${title}`,
    ...names((trainOptions as readonly TrainOption[]).filter((option) => option.group === group)),
  ])
  const intro = 'Dataset files ([general], [[datasets]], [[datasets.subsets]])'
  return [intro, ...names(rows), ...groups].join('\n')
}

function explainInFile(option: DatasetOption, width: number): string[] {
  const { name, alias, kind, requiredFor, needs, levels } = option
  const facts = [`Value: ${expectedValue(option)}.`, `In ${levelsInWords(levels)}.`]
  if (requiredFor !== undefined) facts.push('Required for DreamBooth.')
  else facts.push(defaultOf(option))
  if (alias !== undefined) facts.push(`Also spelt ${alias}, which wins over ${name} in the same table.`)
  if (kind === 'dreambooth') facts.push('For DreamBooth only, not beside metadata_file.')
  if (kind === 'fineTuning') facts.push('Its presence makes the data that of fine-tuning.')
  if (needs === 'captionDropout') facts.push('Only for trainings that drop captions; not for textual inversion.')
  return ['', `In a dataset file: ${name}`, ...wrap(facts.join(' '), width, '  ')]
}

function explainFlag(option: TrainOption, inFile: DatasetOption | undefined, width: number): string[] {
  const facts = option.type === 'flag' ? [] : [`Value: ${expectedTrainValue(option)}.`]
  if (option.required) facts.push('Required.')
  else if (option.type !== 'flag') facts.push(defaultOf(option))
  if (option.laterChoices) facts.push(`Of a later version: ${option.laterChoices.join(', ')}.`)
  if (inFile !== undefined) facts.push('Counts where the dataset file says nothing, not even false.')
  else if (option.hint) facts.push('Accepted, without effect.')
  return ['', `On the command line: --${option.name}${valueName(option)}`, ...wrap(facts.join(' '), width, '  ')]
}

function defaultOf({ default: byDefault }: DatasetOption | TrainOption): string {
  return byDefault === undefined ? 'No default.' : `Default: ${byDefault}.`
}

/** Every rule between options, one sentence each. */
function allRules(): string[] {
  const effects = [...datasetEffects, ...subsetEffects].map(({ option, contradicts, because, severity }) => {
    const what = contradicts === undefined ? `may have no effect (${severity})` : `contradicts ${contradicts}`
    return `${option} ${what}: ${because}.`
  })
  const train = [...trainErrors, ...trainNotes].map(({ text }) => `${text}.`)
  return [...datasetRulesInWords, ...effects, ...train]
}

function mentions(rule: string, name: string): boolean {
  return new RegExp(`(?<!\\w)${name}(?!\\w)`).test(rule)
}

function item(rule: string, width: number): string[] {
  return wrap(rule, width, '    ').map((line, at) => (at === 0 ? line.replace('    ', '  - ') : line))
}

function explainAbsence(key: string): string {
  if ([laterTrainOptions, needlessTrainOptions, otherTrainerOptions].some((table) => Object.hasOwn(table, key)))
    return refusalOf(key, `--${key}`)
  if (laterDatasetOptions.includes(key))
    return `${key}, a key of dataset files, comes with a later version of noisewright`
  const names = [...rows.map((option) => option.name), ...trainOptionsByName.keys()]
  throw new ConfigError(`there is no option "${key}".${didYouMean(key, names)}`, { option: key })
}
