/** What a row of the tables of training options is, and the parts that rows are made of. */

export type TrainOptionGroup =
  | 'model'
  | 'data'
  | 'network'
  | 'optimizer'
  | 'training'
  | 'output'
  | 'preview'
  | 'logging'
  | 'hints'

export type TrainOptionType = 'flag' | 'integer' | 'number' | 'text' | 'list' | 'resolution' | 'range' | 'steps'

export interface TrainOption {
  /** On the command line after two dashes, and a key in a configuration file. Dashes for underscores are accepted. */
  readonly name: string
  readonly type: TrainOptionType
  readonly group: TrainOptionGroup
  /** The first version that has it. */
  readonly since: string
  /** Undefined: none. */
  readonly default?: number | boolean | string
  readonly required?: true
  readonly minimum?: number
  readonly maximum?: number
  /** The accepted words, compared without regard to case. */
  readonly choices?: readonly string[]
  /** Words that sd-scripts knows and this version refuses by name. */
  readonly laterChoices?: readonly string[]
  /** Accepted and without effect, for the reason in `help`. */
  readonly hint?: true
  readonly help: string
}

const inFirstVersion = { since: '0.1.0' } as const

/** One for each group. */
export const model = { ...inFirstVersion, group: 'model' } as const
export const data = { ...inFirstVersion, group: 'data' } as const
export const network = { ...inFirstVersion, group: 'network' } as const
export const optimizer = { ...inFirstVersion, group: 'optimizer' } as const
export const training = { ...inFirstVersion, group: 'training' } as const
export const output = { ...inFirstVersion, group: 'output' } as const
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
