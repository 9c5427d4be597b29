/** What a row of the tables of training options is, and the parts that rows are made of. */

/** The trainings, by the names of their commands. */
export const trainerNames = [
  'fine-tune',
  'train-db',
  'train-network',
  'train-textual-inversion',
  'train-textual-inversion-xti',
] as const
export type TrainerName = (typeof trainerNames)[number]

export type TrainOptionGroup =
  | 'model'
  | 'data'
  | 'method'
  | 'optimizer'
  | 'training'
  | 'noise'
  | 'validation'
  | 'output'
  | 'state'
  | 'preview'
  | 'logging'
  | 'hints'

export type TrainOptionType =
  | 'flag'
  | 'integer'
  | 'number'
  | 'text'
  | 'list'
  | 'resolution'
  | 'range'
  | 'steps'
  | 'device'

export interface TrainOption {
  /** On the command line after two dashes, and a key in a configuration file. Dashes for underscores are accepted. */
  readonly name: string
  readonly type: TrainOptionType
  readonly group: TrainOptionGroup
  /** Trainings that have it. Default: all. A name may have a row for each of several trainings. */
  readonly trainers?: readonly TrainerName[]
  /** The first version that has it. */
  readonly since: string
  /** Undefined: none. */
  readonly default?: number | boolean | string
  readonly required?: true
  /** Its value is shown and written nowhere. */
  readonly secret?: true
  readonly minimum?: number
  readonly maximum?: number
  /** The accepted words, compared without regard to case. */
  readonly choices?: readonly string[]
  /** Accepted and without effect, for the reason in `help`. */
  readonly hint?: true
  readonly help: string
}

const inFirstVersion = { since: '0.1.0' } as const

/** One for each group. */
export const model = { ...inFirstVersion, group: 'model' } as const
export const data = { ...inFirstVersion, group: 'data' } as const
/** What the kinds of training have of their own. */
export const network = { ...inFirstVersion, group: 'method', trainers: ['train-network'] } as const
export const fineTuning = { ...inFirstVersion, group: 'method', trainers: ['fine-tune'] } as const
export const dreamBooth = { ...inFirstVersion, group: 'method', trainers: ['train-db'] } as const
export const wholeModel = { ...inFirstVersion, trainers: ['fine-tune', 'train-db'] } as const
export const inversion = {
  ...inFirstVersion,
  group: 'method',
  trainers: ['train-textual-inversion', 'train-textual-inversion-xti'],
} as const
/** What leaves the model as it is. */
export const frozenModel = { trainers: [...network.trainers, ...inversion.trainers] } as const
export const optimizer = { ...inFirstVersion, group: 'optimizer' } as const
export const training = { ...inFirstVersion, group: 'training' } as const
export const noise = { ...inFirstVersion, group: 'noise' } as const
export const validation = { ...inFirstVersion, group: 'validation' } as const
export const output = { ...inFirstVersion, group: 'output' } as const
export const state = { ...inFirstVersion, group: 'state' } as const
export const preview = { ...inFirstVersion, group: 'preview' } as const
export const logging = { ...inFirstVersion, group: 'logging' } as const
export const hint = { ...inFirstVersion, group: 'hints', hint: true } as const

export const flag = { type: 'flag', default: false } as const
export const text = { type: 'text' } as const
export const integer = { type: 'integer' } as const
/** A whole number of at least 1. */
export const count = { type: 'integer', minimum: 1 } as const
export const number = { type: 'number' } as const
/** A number of at least 0. */
export const amount = { type: 'number', minimum: 0 } as const
/** A number from 0 to 1. */
export const share = { type: 'number', minimum: 0, maximum: 1 } as const
