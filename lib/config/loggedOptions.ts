/** The options in force, for the log of a training. */
import { type TrainerName, type TrainOption, trainOptionsOf } from './trainOptions.ts'

/** Places of this machine, which are nobody else's business, as in sd-scripts; and an address that may hold a password. */
const withheld: readonly string[] = [
  ...['pretrained_model_name_or_path', 'vae', 'tokenizer_cache_dir', 'train_data_dir', 'reg_data_dir', 'output_dir'],
  ...['logging_dir', 'cache_dir', 'log_webhook'],
]

export type LoggedOptions = Readonly<Record<string, string | number | boolean | null>>

/**
 * Every option of a training that has an effect, by name, with its default where it was not given and null where there is none;
 * without secrets and without folders. What is no text, number or switch is a text as on the command line.
 */
export function loggedOptions(trainer: TrainerName, values: Readonly<Record<string, unknown>>): LoggedOptions {
  const logged = [...trainOptionsOf(trainer).values()].filter(
    ({ name, secret, hint }) => !secret && !hint && !withheld.includes(name),
  )
  return Object.fromEntries(logged.map((option) => [option.name, plainValue(option, values[option.name])]))
}

function plainValue({ type }: TrainOption, value: unknown): string | number | boolean | null {
  if (value === undefined || value === null) return null
  if (Array.isArray(value)) return value.join(type === 'list' ? ' ' : ',')
  if (typeof value === 'object') return `${100 * (value as { readonly share: number }).share}%`
  return value as string | number | boolean
}
