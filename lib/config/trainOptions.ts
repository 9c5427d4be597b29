/** Reads options of a training from command-line arguments, one place at a time; rules between options are in lib/train. */
import { didYouMean } from '../util/nearest.ts'
import { parseResolution } from './datasetConfig.ts'
import { type DeviceText, expectedDevice, readDevice } from './deviceName.ts'
import { needlessTrainOptions } from './needlessTrainOptions.ts'
import {
  type TrainerName,
  type TrainOption,
  type TrainOptionType,
  trainerNames,
  trainOptions,
} from './trainOptionTable.ts'

export { needlessTrainOptions } from './needlessTrainOptions.ts'
export {
  type TrainerName,
  type TrainOption,
  type TrainOptionGroup,
  type TrainOptionType,
  trainerNames,
  trainOptions,
} from './trainOptionTable.ts'

type Row = (typeof trainOptions)[number]
export type TrainOptionName = Row['name']

interface ValueOfType {
  flag: boolean
  integer: number
  number: number
  text: string
  list: readonly string[]
  resolution: readonly [width: number, height: number]
  range: readonly [least: number, most: number]
  /** Below 1: a share. */
  steps: number | { readonly share: number }
  device: DeviceText
}

type ValueOfRow<R> = R extends { choices: readonly (infer Choice)[] }
  ? Choice
  : R extends { type: infer Type extends TrainOptionType }
    ? ValueOfType[Type]
    : never

/** The type of an option's value, derived from its row. */
export type TrainOptionValue<Name extends TrainOptionName> = ValueOfRow<Extract<Row, { readonly name: Name }>>

/** Options that were given, whether on the command line or in a configuration file. */
export type GivenTrainOptions = { readonly [Name in TrainOptionName]?: TrainOptionValue<Name> }

/** What was read from one place: the values that are right, and everything that is wrong. */
export interface TrainOptionReading {
  readonly given: GivenTrainOptions
  /** Options that were given with a wrong value, so that they are not also reported as missing. */
  readonly unreadable: ReadonlySet<string>
  /** One complete message each. */
  readonly problems: readonly string[]
}

const optionsByTrainer = new Map(
  trainerNames.map((trainer): [TrainerName, ReadonlyMap<string, TrainOption>] => {
    const rows = (trainOptions as readonly TrainOption[]).filter(({ trainers }) => trainers?.includes(trainer) ?? true)
    return [trainer, new Map(rows.map((option) => [option.name, option]))]
  }),
)

/** The options of one kind of training, by name, in the order of the tables. */
export function trainOptionsOf(trainer: TrainerName): ReadonlyMap<string, TrainOption> {
  return optionsByTrainer.get(trainer)!
}

/** A value, or what is wrong with the one that was found. */
export type ValueReading = { readonly value: unknown } | { readonly problem: string }

/**
 * Reads the arguments after the command of a training. Names may be written with underscores or dashes, values after a space or
 * after `=`; a value may begin with one dash, not with two. Of an option given twice, the last counts.
 */
export function readTrainArguments(args: readonly string[], trainer: TrainerName): TrainOptionReading {
  const options = trainOptionsOf(trainer)
  const given: Record<string, unknown> = {}
  const unreadable = new Set<string>()
  const problems: string[] = []
  for (let at = 0; at < args.length; ) {
    const argument = args[at++]!
    const match = /^--([^=]+)(?:=(.*))?$/s.exec(argument)
    if (match === null) {
      problems.push(`unexpected argument ${JSON.stringify(argument)}: options are written --name value`)
      continue
    }
    const name = match[1]!.replaceAll('-', '_')
    const attached = match[2]
    const option = options.get(name)
    const followers = attached === undefined ? untilNextOption(args, at) : []
    if (option === undefined) {
      problems.push(refusalOf(name, `--${match[1]}`, trainer))
      at += followers.length
      continue
    }
    const takes = option.type === 'flag' ? 0 : option.type === 'list' ? followers.length : Math.min(1, followers.length)
    const texts = attached === undefined ? followers.slice(0, takes) : [attached]
    at += takes
    const reading = readTexts(option, texts)
    if ('problem' in reading) {
      problems.push(`--${name} ${reading.problem}`)
      unreadable.add(name)
    } else {
      given[name] = reading.value
    }
  }
  return { given: given as GivenTrainOptions, unreadable, problems }
}

function untilNextOption(args: readonly string[], from: number): readonly string[] {
  const end = args.findIndex((argument, at) => at >= from && argument.startsWith('--'))
  return args.slice(from, end < 0 ? args.length : end)
}

function readTexts(option: TrainOption, texts: readonly string[]): ValueReading {
  if (option.type === 'flag') {
    return texts.length === 0 ? { value: true } : { problem: `takes no value, found ${JSON.stringify(texts[0])}` }
  }
  if (texts.length === 0) return { problem: `needs a value: ${expectedTrainValue(option)}` }
  return option.type === 'list' ? { value: texts } : readTrainValue(option, texts[0]!)
}

/**
 * Reads one value, of any type but flag and list, from its text. The problem continues a sentence that begins with the name. An empty
 * text is no value: of an option without a default, undefined.
 */
export function readTrainValue(option: TrainOption, text: string): ValueReading {
  const wrong = { problem: `must be ${expectedTrainValue(option)}, found ${JSON.stringify(text)}` }
  const { type, minimum = Number.NEGATIVE_INFINITY, maximum = Number.POSITIVE_INFINITY } = option
  if (type === 'integer' || type === 'number') {
    const value = Number(text)
    const wellFormed = type === 'integer' ? /^\s*[+-]?\d+\s*$/.test(text) : text.trim() !== '' && Number.isFinite(value)
    return wellFormed && value >= minimum && value <= maximum ? { value } : wrong
  }
  if (type === 'resolution') {
    try {
      return { value: parseResolution(text) }
    } catch {
      return wrong
    }
  }
  if (type === 'range') return readRange(text, minimum) ?? wrong
  if (type === 'steps') return readSteps(text) ?? wrong
  if (type === 'device') {
    const value = readDevice(text)
    return value === undefined ? wrong : { value }
  }
  const { choices } = option
  // As sd-scripts has it, so that scripts may pass `--vae "$VAE"` on; it also takes back what a configuration file gives.
  if (choices === undefined) return { value: text === '' && option.default === undefined ? undefined : text }
  const same = (choice: string): boolean => choice.toLowerCase() === text.trim().toLowerCase()
  const found = choices.find(same)
  if (found !== undefined) return { value: found }
  return { problem: `${wrong.problem}.${didYouMean(text, choices)}` }
}

/** Two numbers as `1,3`, the smaller first. */
function readRange(text: string, minimum: number): { readonly value: readonly [number, number] } | undefined {
  const parts = text.split(',')
  const [least = Number.NaN, most = Number.NaN] = parts.map((part) => (part.trim() === '' ? Number.NaN : Number(part)))
  const fits = parts.length === 2 && least >= minimum && least <= most && most < Number.POSITIVE_INFINITY
  return fits ? { value: [least, most] } : undefined
}

/** Steps as `100`, `0.1` or `10%`. */
function readSteps(text: string): { readonly value: number | { readonly share: number } } | undefined {
  const [, digits = '', percent] = /^\s*(\d+(?:\.\d*)?|\.\d+)\s*(%?)\s*$/.exec(text) ?? []
  if (digits === '') return undefined
  const number = Number(digits)
  if (percent === '%') return number <= 100 ? { value: { share: number / 100 } } : undefined
  if (Number.isInteger(number)) return { value: number }
  return number < 1 ? { value: { share: number } } : undefined
}

/** What a value of this option must be, in words. */
export function expectedTrainValue(option: TrainOption): string {
  const { type, minimum, maximum, choices } = option
  const least = minimum === undefined ? '' : ` of at least ${minimum}`
  const range = maximum === undefined ? least : ` from ${minimum} to ${maximum}`
  switch (type) {
    case 'flag':
      return 'nothing on the command line; true or false in a file'
    case 'integer':
      return `a whole number${range}`
    case 'number':
      return `a number${range}`
    case 'resolution':
      return 'one or two whole numbers ("512" or "512,768")'
    case 'range':
      return `two numbers${least}, the smaller first ("1.0,3.0")`
    case 'steps':
      return 'a whole number of at least 0, or a share of the run: a number below 1, or a percentage such as 10%'
    case 'device':
      return expectedDevice
    case 'list':
      return 'one or more texts such as key=value'
    case 'text':
      return choices === undefined ? 'a text' : choices.length > 1 ? `one of ${choices.join(', ')}` : `${choices[0]}`
    default:
      return type satisfies never
  }
}

/**
 * Why a name is not an option of a training.
 *
 * @param name with underscores
 * @param written as the user wrote it
 */
export function refusalOf(name: string, written: string, trainer: TrainerName): string {
  if (Object.hasOwn(needlessTrainOptions, name)) return `${written} is not needed: ${needlessTrainOptions[name]}`
  const others = trainerNames.filter((other) => trainOptionsOf(other).has(name))
  if (others.length > 0) return `${written} is an option of ${others.join(' and ')}, not of ${trainer}`
  const names = [...trainOptionsOf(trainer).keys()]
  const prefixed = names.filter((candidate) => candidate.startsWith(name))
  const dashes = /^-*/.exec(written)![0]
  const hint = prefixed.length === 1 ? ` Did you mean "${prefixed[0]}"?` : didYouMean(name, names)
  return `unknown option "${written}".${hint.replace('"', `"${dashes}`)}`
}
