/** Rules between the options of a training, as data. */
import type { GivenTrainOptions, TrainOptionName } from './trainOptions.ts'

/** What options are together that are right one by one. */
export interface TrainRule {
  readonly options: readonly TrainOptionName[]
  /** What to say when the rule is broken. */
  readonly text: string
  /** @param has whether an option was given, with a right value or a wrong one */
  readonly breaks: (given: GivenTrainOptions, has: (name: TrainOptionName) => boolean) => boolean
}

/** What is wrong. */
export const trainErrors: readonly TrainRule[] = [
  {
    options: ['dataset_config', 'train_data_dir', 'in_json'],
    text: 'there is no training data: give --dataset_config, --train_data_dir or --in_json',
    breaks: (_, has) => !has('dataset_config') && !has('train_data_dir') && !has('in_json'),
  },
  needs('adaptive_noise_scale', 'noise_offset', ''),
  needs('log_with', 'logging_dir', ', the folder of the log'),
  {
    options: ['network_train_unet_only', 'network_train_text_encoder_only'],
    text: '--network_train_unet_only and --network_train_text_encoder_only together leave nothing to train',
    breaks: (given) => !!given.network_train_unet_only && !!given.network_train_text_encoder_only,
  },
  {
    options: ['cache_text_encoder_outputs', 'network_train_unet_only'],
    text: '--cache_text_encoder_outputs needs --network_train_unet_only: captions are encoded once, by a text encoder that stays as it is',
    breaks: (given) => !!given.cache_text_encoder_outputs && !given.network_train_unet_only,
  },
  {
    options: ['cache_text_encoder_outputs', 'weighted_captions'],
    text: '--cache_text_encoder_outputs contradicts --weighted_captions: how long a weighted caption is depends on its batch',
    breaks: (given) => !!given.cache_text_encoder_outputs && !!given.weighted_captions,
  },
]

/** What has no effect, or another one than it seems. */
export const trainNotes: readonly TrainRule[] = [
  ...(['train_data_dir', 'reg_data_dir', 'in_json'] as const).map(
    (name): TrainRule => ({
      options: [name, 'dataset_config'],
      text: `--${name} is not used, since --dataset_config describes the data`,
      breaks: (_, has) => has('dataset_config') && has(name),
    }),
  ),
  {
    options: ['reg_data_dir', 'in_json'],
    text: '--reg_data_dir is not used, since there are no regularization pictures beside the metadata of --in_json',
    breaks: (_, has) => has('in_json') && has('reg_data_dir') && !has('dataset_config'),
  },
  ...(['color_aug', 'random_crop'] as const).map(
    (name): TrainRule => ({
      options: [name, 'in_json'],
      text: `--${name} changes pictures: latents that lie in files beside the pictures of --in_json are not used`,
      breaks: (given, has) => has('in_json') && !has('dataset_config') && !!given[name],
    }),
  ),
  {
    options: ['prior_loss_weight', 'reg_data_dir'],
    text: '--prior_loss_weight has no effect without --reg_data_dir',
    breaks: ({ prior_loss_weight = 1 }, has) =>
      prior_loss_weight !== 1 && !has('dataset_config') && (!has('reg_data_dir') || has('in_json')),
  },
  {
    options: ['cache_latents_to_disk', 'cache_latents'],
    text: '--cache_latents_to_disk switches --cache_latents on',
    breaks: (given) => !!given.cache_latents_to_disk && !given.cache_latents,
  },
  {
    options: ['vae_batch_size', 'cache_latents'],
    text: '--vae_batch_size has no effect without --cache_latents',
    breaks: (given) => (given.vae_batch_size ?? 1) > 1 && !given.cache_latents && !given.cache_latents_to_disk,
  },
  {
    options: ['cache_dir', 'cache_latents_to_disk', 'cache_text_encoder_outputs'],
    text: '--cache_dir has no effect without --cache_latents_to_disk or --cache_text_encoder_outputs',
    breaks: (given, has) => has('cache_dir') && !given.cache_latents_to_disk && !given.cache_text_encoder_outputs,
  },
  ...(['debug_dataset_max_batches', 'debug_dataset_html', 'debug_dataset_port'] as const).map((name) =>
    without(name, 'debug_dataset'),
  ),
  without('log_prefix', 'logging_dir'),
  without('log_tracker_name', 'logging_dir'),
  without('sample_every_n_epochs', 'sample_prompts'),
  without('sample_every_n_steps', 'sample_prompts'),
  {
    options: ['sample_prompts', 'sample_every_n_epochs', 'sample_every_n_steps'],
    text: '--sample_prompts draws nothing without --sample_every_n_epochs or --sample_every_n_steps',
    breaks: (_, has) => has('sample_prompts') && !has('sample_every_n_epochs') && !has('sample_every_n_steps'),
  },
  {
    options: ['sample_every_n_steps', 'sample_every_n_epochs'],
    text: '--sample_every_n_steps is not used, since --sample_every_n_epochs is given',
    breaks: (_, has) => has('sample_prompts') && has('sample_every_n_epochs') && has('sample_every_n_steps'),
  },
  {
    options: ['max_train_steps', 'max_train_epochs'],
    text: '--max_train_steps is not used, since --max_train_epochs is given',
    breaks: (_, has) => has('max_train_epochs') && has('max_train_steps'),
  },
  {
    options: ['caption_extension', 'caption_extention'],
    text: '--caption_extension is not used, since --caption_extention is given',
    breaks: (_, has) => has('caption_extention') && has('caption_extension'),
  },
  {
    options: ['clip_skip', 'v2'],
    text: '--clip_skip is unusual with --v2: models of 2.x leave out the last layer already',
    breaks: (given, has) => !!given.v2 && has('clip_skip'),
  },
]

function needs(name: TrainOptionName, needed: TrainOptionName, more: string): TrainRule {
  return {
    options: [name, needed],
    text: `--${name} needs --${needed}${more}`,
    breaks: (given, has) => given[name] !== undefined && !has(needed),
  }
}

function without(name: TrainOptionName, needed: TrainOptionName): TrainRule {
  return {
    options: [name, needed],
    text: `--${name} has no effect without --${needed}`,
    breaks: (given) => given[name] !== undefined && (given[needed] ?? false) === false,
  }
}
