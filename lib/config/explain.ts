/** What there is to know about one option, made from the tables of options and rules. */
import { ConfigError } from '../util/errors.ts'
import { didYouMean } from '../util/nearest.ts'
import { datasetEffects, subsetEffects } from './datasetEffects.ts'
import {
  type DatasetOption,
  datasetOptions,
  expectedValue,
  findDatasetOption,
  levelsInWords,
} from './datasetOptions.ts'
import { datasetRulesInWords } from './datasetRules.ts'
import { groupTitles, valueName, wrap } from './describeTrainOptions.ts'
import { trainNotes } from './trainNotes.ts'
import {
  expectedTrainValue,
  needlessTrainOptions,
  refusalOf,
  type TrainOption,
  trainerNames,
  trainOptions,
} from './trainOptions.ts'
import { trainErrors } from './trainRules.ts'

const rows = datasetOptions as readonly DatasetOption[]
const flags = trainOptions as readonly TrainOption[]

/**
 * Explains an option of a dataset file or of a training: what it does, its values, default and levels, its twin on the
 * command line, and the rules that mention it.
 *
 * @param name in a file, or on the command line with dashes
 * @param width of the lines, in characters
 * @throws ConfigError with the nearest name when there is no such option
 */
export function explainOption(name: string, width = 100): string {
  const key = name.replace(/^-+/, '').replaceAll('-', '_')
  const inFile = findDatasetOption(key) ?? rows.find(({ commandLine }) => commandLine === key)
  const named = flags.filter((flag) => flag.name === key)
  // A name has a row for each of several trainings where they differ.
  const found = named.length > 0 ? named : flags.filter((flag) => flag.name === inFile?.commandLine)
  if (inFile === undefined && found.length === 0) return explainAbsence(key)
  const names = new Set([
    key,
    ...(inFile ? [inFile.name, inFile.commandLine ?? ''] : []),
    ...found.map((flag) => flag.name),
  ])
  const rules = allRules().filter((rule) => [...names].some((each) => each !== '' && mentions(rule, each)))
  return [
    key,
    ...wrap(inFile?.doc ?? found[0]!.help, width, '  '),
    ...(inFile === undefined ? [] : explainInFile(inFile, width)),
    ...found.flatMap((flag) => explainFlag(flag, inFile, width)),
    ...(rules.length === 0 ? [] : ['', 'Rules:', ...rules.flatMap((rule) => item(rule, width))]),
  ].join('\n')
}

/** The names of all options that `explainOption` knows, in groups. */
export function listOptions(width = 100): string {
  const names = (list: readonly { readonly name: string }[]): string[] =>
    wrap(list.map(({ name }) => name).join(', '), width, '  ')
  const groups = Object.entries(groupTitles).flatMap(([group, title]) => [
    '',
    `Trainings: ${title}`,
    ...names(uniqueNames(flags.filter((option) => option.group === group))),
  ])
  const intro = 'Dataset files ([general], [[datasets]], [[datasets.subsets]])'
  return [intro, ...names(rows), ...groups].join('\n')
}

function uniqueNames(options: readonly TrainOption[]): readonly { readonly name: string }[] {
  return [...new Set(options.map(({ name }) => name))].map((name) => ({ name }))
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
  if (needs === 'network') facts.push('Only for train-network.')
  return ['', `In a dataset file: ${name}`, ...wrap(facts.join(' '), width, '  ')]
}

function explainFlag(option: TrainOption, inFile: DatasetOption | undefined, width: number): string[] {
  const facts = option.type === 'flag' ? [] : [`Value: ${expectedTrainValue(option)}.`]
  if (option.required) facts.push('Required.')
  else if (option.type !== 'flag') facts.push(defaultOf(option))
  if (option.trainers !== undefined) facts.push(`Of ${option.trainers.join(', ')}.`)
  if (option.hint) facts.push('Accepted, without effect.')
  else if (inFile !== undefined) facts.push('Counts where the dataset file says nothing, not even false.')
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
  if (Object.hasOwn(needlessTrainOptions, key)) return refusalOf(key, `--${key}`, trainerNames[0])
  const names = [...rows.map((option) => option.name), ...flags.map((flag) => flag.name)]
  throw new ConfigError(`there is no option "${key}".${didYouMean(key, names)}`, { option: key })
}
