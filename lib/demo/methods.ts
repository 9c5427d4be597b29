/** What the demo does with each method: by the options anyone would give. */
import type { TrainerName } from '../config/trainOptions.ts'

export type DemoMethodName = 'lora' | 'dreambooth' | 'textual-inversion' | 'xti' | 'fine-tune'

/** A value of a TOML file. */
export type OptionValue = string | number | boolean | readonly string[]

export interface DemoMethod {
  readonly trainer: TrainerName
  /** What the model learns: one picture by a word that means nothing to it, or the flags by their names. */
  readonly teaches: 'word' | 'flags'
  /** The word. */
  readonly word: string
  /** Pictures that the model knows are trained on beside the new one, so that they stay as they are. */
  readonly remembers: boolean
  readonly batchSize: number
  readonly steps: number
  readonly options: Readonly<Record<string, OptionValue>>
}

const shared = { optimizer_type: 'AdamW', lr_scheduler: 'cosine', cache_latents: true } as const

const inversion = { teaches: 'word', word: '<flag>', remembers: false, batchSize: 8, steps: 400 } as const
const newWord = { ...shared, learning_rate: 1e-2, token_string: inversion.word, init_word: 'flag' } as const

export const demoMethods: Readonly<Record<DemoMethodName, DemoMethod>> = {
  lora: {
    trainer: 'train-network',
    teaches: 'word',
    word: 'sks',
    remembers: true,
    batchSize: 8,
    steps: 300,
    options: {
      ...shared,
      learning_rate: 2e-3,
      network_dim: 16,
      network_alpha: 16,
      network_args: ['conv_dim=16', 'conv_alpha=16'],
    },
  },
  dreambooth: {
    trainer: 'train-db',
    teaches: 'word',
    word: 'sks',
    remembers: true,
    batchSize: 8,
    steps: 200,
    options: { ...shared, learning_rate: 3e-4 },
  },
  'textual-inversion': {
    ...inversion,
    steps: 800,
    trainer: 'train-textual-inversion',
    options: { ...newWord, learning_rate: 3e-2, init_word: 'green square button', num_vectors_per_token: 12 },
  },
  xti: { ...inversion, trainer: 'train-textual-inversion-xti', options: newWord },
  'fine-tune': {
    trainer: 'fine-tune',
    teaches: 'flags',
    word: '',
    remembers: true,
    batchSize: 16,
    steps: 600,
    options: { ...shared, learning_rate: 1e-3, train_text_encoder: true },
  },
}
