/** Rules between the options of a training, as data: what is wrong. What has no effect is in `trainNotes.ts`. */
import { isFileName } from '../util/fileName.ts'
import type { GivenTrainOptions, TrainerName, TrainOptionName } from './trainOptions.ts'

/** What options are together that are right one by one. */
export interface TrainRule {
  /** The first of them decides which trainings have the rule, unless `trainers` says. */
  readonly options: readonly TrainOptionName[]
  readonly trainers?: readonly TrainerName[]
  /** What to say when the rule is broken. */
  readonly text: string
  /** @param has whether an option was given, with a right value or a wrong one; a switch that is off was not */
  readonly breaks: (given: GivenTrainOptions, has: (name: TrainOptionName) => boolean) => boolean
}

/** What is wrong. */
export const trainErrors: readonly TrainRule[] = [
  {
    options: ['dataset_config', 'train_data_dir', 'in_json'],
    trainers: ['train-network', 'train-textual-inversion', 'train-textual-inversion-xti'],
    text: 'there is no training data: give --dataset_config, --train_data_dir or --in_json',
    breaks: (_, has) => !isDescribed(has) && !has('train_data_dir') && !has('in_json'),
  },
  {
    options: ['dataset_config', 'train_data_dir', 'in_json'],
    trainers: ['fine-tune'],
    text: 'there is no training data: give --dataset_config, or --train_data_dir and --in_json',
    breaks: (_, has) => !isDescribed(has) && !(has('train_data_dir') && has('in_json')),
  },
  {
    options: ['dataset_config', 'train_data_dir'],
    trainers: ['train-db'],
    text: 'there is no training data: give --dataset_config or --train_data_dir',
    breaks: (_, has) => !isDescribed(has) && !has('train_data_dir'),
  },
  needs('adaptive_noise_scale', 'noise_offset', ''),
  needs('noise_offset_random_strength', 'noise_offset', ''),
  needs('ip_noise_gamma_random_strength', 'ip_noise_gamma', ''),
  needs('scale_v_pred_loss_like_noise_pred', 'v_parameterization', ''),
  {
    options: ['v_pred_like_loss', 'v_parameterization'],
    text: '--v_pred_like_loss contradicts --v_parameterization: it is for models that predict noise',
    breaks: (given, has) => has('v_pred_like_loss') && !!given.v_parameterization,
  },
  {
    options: ['min_timestep', 'max_timestep'],
    text: '--min_timestep must not be more than --max_timestep; the same number twice: always that timestep',
    breaks: ({ min_timestep = 0, max_timestep = 1000 }) => min_timestep > max_timestep,
  },
  ...(['fp16', 'bf16'] as const).map(
    (type): TrainRule => ({
      options: [`full_${type}`, 'mixed_precision'],
      text: `--full_${type} needs --mixed_precision ${type}`,
      breaks: (given) => !!given[`full_${type}`] && given.mixed_precision !== type,
    }),
  ),
  ...(['fp8_base', 'fp8_base_unet'] as const).map(
    (name): TrainRule => ({
      options: [name, 'mixed_precision'],
      text: `--${name} needs --mixed_precision fp16 or bf16`,
      breaks: (given) => !!given[name] && (given.mixed_precision ?? 'no') === 'no',
    }),
  ),
  needs('log_with', 'logging_dir', ', the folder of the log'),
  needs('resume_restart', 'resume', ''),
  ...(['initial_step', 'initial_epoch'] as const).map(
    (name): TrainRule => ({
      options: [name, 'resume'],
      text: `--${name} contradicts --resume: a state goes on where it was saved, or counts anew with --resume_restart`,
      breaks: (_, has) => has(name) && has('resume'),
    }),
  ),
  {
    options: ['resume_from_huggingface', 'resume'],
    text: '--resume_from_huggingface needs --resume, the folder of a repository: owner/name/folder',
    breaks: (given, has) => !!given.resume_from_huggingface && !has('resume'),
  },
  {
    options: ['save_state_to_huggingface', 'save_state', 'save_state_on_train_end'],
    text: '--save_state_to_huggingface needs --save_state or --save_state_on_train_end',
    breaks: (given) => !!given.save_state_to_huggingface && !given.save_state && !given.save_state_on_train_end,
  },
  needs('dim_from_weights', 'network_weights', ''),
  needs('base_weights_multiplier', 'base_weights', ''),
  {
    options: ['no_token_padding', 'max_token_length'],
    text: '--no_token_padding contradicts --max_token_length: a caption is one row of tokens then',
    breaks: (given, has) => !!given.no_token_padding && has('max_token_length') && given.max_token_length !== '75',
  },
  {
    options: ['use_object_template', 'use_style_template'],
    text: '--use_object_template contradicts --use_style_template: give one of them',
    breaks: (given) => !!given.use_object_template && !!given.use_style_template,
  },
  {
    options: ['max_token_length', 'token_string'],
    trainers: ['train-textual-inversion-xti'],
    text: '--max_token_length has no place here: captions have at most 75 tokens',
    breaks: (given, has) => has('max_token_length') && given.max_token_length !== '75',
  },
  {
    options: ['use_safetensors', 'save_model_as'],
    text: '--use_safetensors contradicts --save_model_as ckpt',
    breaks: (given) => !!given.use_safetensors && given.save_model_as === 'ckpt',
  },
  {
    options: ['network_train_unet_only', 'network_train_text_encoder_only'],
    text: '--network_train_unet_only and --network_train_text_encoder_only together leave nothing to train',
    breaks: (given) => !!given.network_train_unet_only && !!given.network_train_text_encoder_only,
  },
  {
    options: ['output_name', 'token_string'],
    text: '--output_name, or --token_string in its place, must be the name of a file: no folders (/ or \\), no control characters, no dot or space at its end, no device of Windows such as CON',
    breaks: ({ output_name, token_string }) => !isFileName(output_name ?? token_string ?? 'last'),
  },
  cachedText('network_train_unet_only', {
    trainers: ['train-network'],
    text: 'needs --network_train_unet_only: captions are encoded once, by a text encoder that stays as it is',
    breaks: (given) => !given.network_train_unet_only,
  }),
  cachedText('train_text_encoder', {
    trainers: ['fine-tune'],
    text: 'contradicts --train_text_encoder: captions are encoded once, by a text encoder that stays as it is',
    breaks: (given) => !!given.train_text_encoder,
  }),
  cachedText('stop_text_encoder_training', {
    trainers: ['train-db'],
    text: 'needs --stop_text_encoder_training -1: captions are encoded once, by a text encoder that stays as it is',
    breaks: ({ stop_text_encoder_training: stop = 1 }) => stop > 0,
  }),
  cachedText('no_token_padding', {
    trainers: ['train-db'],
    text: 'contradicts --no_token_padding: captions are as long as those of their batch',
    breaks: (given) => !!given.no_token_padding,
  }),
  cachedText('weighted_captions', {
    text: 'contradicts --weighted_captions: how long a weighted caption is depends on its batch',
    breaks: (given) => !!given.weighted_captions,
  }),
]

/** Whether data are described by something that may be of any kind. */
export function isDescribed(has: (name: TrainOptionName) => boolean): boolean {
  return has('dataset_config') || has('dataset_class')
}

/** A rule for a training whose captions are encoded once; its text goes on from the name of the option. */
function cachedText(other: TrainOptionName, { text, breaks, ...rest }: Omit<TrainRule, 'options'>): TrainRule {
  const option = 'cache_text_encoder_outputs'
  return {
    ...rest,
    options: [option, other],
    text: `--${option} ${text}`,
    breaks: (given, has) => (!!given[option] || !!given.cache_text_encoder_outputs_to_disk) && breaks(given, has),
  }
}

function needs(name: TrainOptionName, needed: TrainOptionName, more: string): TrainRule {
  return {
    options: [name, needed],
    text: `--${name} needs --${needed}${more}`,
    breaks: (_, has) => has(name) && !has(needed),
  }
}
