/** Rules between the options of a training. */
import { type GivenTrainOptions, type TrainOption, type TrainOptionName, trainOptions } from '../config/trainOptions.ts'

/**
 * Everything wrong with options whose single values are right: missing ones and ones that contradict each other.
 *
 * @param unreadable options that were given with a wrong value; they are not reported as missing
 */
export function checkTrainOptions(given: GivenTrainOptions, unreadable: ReadonlySet<string> = new Set()): string[] {
  const problems: string[] = []
  const isGiven = (name: TrainOptionName): boolean => given[name] !== undefined || unreadable.has(name)
  for (const option of trainOptions as readonly TrainOption[]) {
    if (option.required && !isGiven(option.name as TrainOptionName)) {
      problems.push(`--${option.name} is missing. ${option.help}`)
    }
  }
  if (!isGiven('dataset_config') && !isGiven('train_data_dir')) {
    problems.push('there is no training data: give --dataset_config or --train_data_dir')
  }
  if (given.adaptive_noise_scale !== undefined && !isGiven('noise_offset')) {
    problems.push('--adaptive_noise_scale needs --noise_offset')
  }
  if (given.log_with !== undefined && !isGiven('logging_dir')) {
    problems.push(`--log_with ${given.log_with} needs --logging_dir, the folder of the log`)
  }
  if (given.network_train_unet_only && given.network_train_text_encoder_only) {
    problems.push('--network_train_unet_only and --network_train_text_encoder_only together leave nothing to train')
  }
  return problems
}

/** Options that were given and have no effect, and why. */
export function notesOnTrainOptions(given: GivenTrainOptions): string[] {
  const notes: string[] = []
  for (const { name, help, hint } of trainOptions as readonly TrainOption[]) {
    const value = given[name as TrainOptionName]
    if (hint && value !== undefined && value !== false) notes.push(`--${name} changes nothing. ${help}`)
  }
  const without = (name: TrainOptionName, needed: string): void => {
    if (given[name] !== undefined) notes.push(`--${name} has no effect without ${needed}`)
  }
  if (given.dataset_config !== undefined) {
    for (const name of ['train_data_dir', 'reg_data_dir'] as const) {
      if (given[name] !== undefined) notes.push(`--${name} is not used, since --dataset_config describes the data`)
    }
  }
  if (given.logging_dir === undefined) {
    without('log_prefix', '--logging_dir')
    without('log_tracker_name', '--logging_dir')
  }
  const everyEpochs = given.sample_every_n_epochs !== undefined
  const everySteps = given.sample_every_n_steps !== undefined
  if (given.sample_prompts === undefined) {
    without('sample_every_n_epochs', '--sample_prompts')
    without('sample_every_n_steps', '--sample_prompts')
  } else if (!everyEpochs && !everySteps) {
    notes.push('--sample_prompts draws nothing without --sample_every_n_epochs or --sample_every_n_steps')
  } else if (everyEpochs && everySteps) {
    notes.push('--sample_every_n_steps is not used, since --sample_every_n_epochs is given')
  }
  if (given.max_train_epochs !== undefined && given.max_train_steps !== undefined) {
    notes.push('--max_train_steps is not used, since --max_train_epochs is given')
  }
  if (given.caption_extention !== undefined && given.caption_extension !== undefined) {
    notes.push('--caption_extension is not used, since --caption_extention is given')
  }
  return notes
}
