/** Rules between the options of a training, as data. */
import { isFileName } from '../util/fileName.ts'
import type { GivenTrainOptions, TrainerName, TrainOptionName } from './trainOptions.ts'

/** What options are together that are right one by one. */
export interface TrainRule {
  /** The first of them decides which trainings have the rule, unless `trainers` says. */
  readonly options: readonly TrainOptionName[]
  readonly trainers?: readonly TrainerName[]
  /** What to say when the rule is broken. */
  readonly text: string
  /** @param has whether an option was given, with a right value or a wrong one */
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
    text: '--min_timestep must be less than --max_timestep',
    breaks: ({ min_timestep = 0, max_timestep = 1000 }) => min_timestep >= max_timestep,
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

/** What has no effect, or another one than it seems. */
export const trainNotes: readonly TrainRule[] = [
  without('learning_rate_te', 'train_text_encoder', ['fine-tune']),
  {
    options: ['learning_rate_te', 'stop_text_encoder_training'],
    trainers: ['train-db'],
    text: '--learning_rate_te has no effect, since --stop_text_encoder_training leaves the text encoder out',
    breaks: (given, has) => has('learning_rate_te') && (given.stop_text_encoder_training ?? 0) < 0,
  },
  {
    options: ['no_token_padding', 'clip_skip'],
    text: '--clip_skip has no effect with --no_token_padding',
    breaks: (given, has) => !!given.no_token_padding && has('clip_skip'),
  },
  {
    options: ['no_token_padding', 'weighted_captions'],
    text: '--no_token_padding has no effect with --weighted_captions, whose rows are always full',
    breaks: (given) => !!given.no_token_padding && !!given.weighted_captions,
  },
  ...(['full_fp16', 'full_bf16'] as const).map(
    (name): TrainRule => ({
      options: [name],
      trainers: ['train-network', 'train-textual-inversion', 'train-textual-inversion-xti'],
      text: `--${name} has no effect here: what is trained is small, and stays float32`,
      breaks: (given) => !!given[name],
    }),
  ),
  {
    options: ['fp8_base', 'fp8_base_unet'],
    text: '--fp8_base is not used, since --fp8_base_unet leaves the text encoder as it is',
    breaks: (given) => !!given.fp8_base && !!given.fp8_base_unet,
  },
  without('multires_noise_discount', 'multires_noise_iterations'),
  ...(['huber_schedule', 'huber_c', 'huber_scale'] as const).map(
    (name): TrainRule => ({
      options: [name, 'loss_type'],
      text: `--${name} has no effect without --loss_type huber or smooth_l1`,
      breaks: ({ loss_type = 'l2' }, has) => has(name) && loss_type !== 'huber' && loss_type !== 'smooth_l1',
    }),
  ),
  {
    options: ['zero_terminal_snr', 'v_parameterization'],
    text: '--zero_terminal_snr is for models that predict velocity: noise cannot be predicted where there is no signal',
    breaks: (given) => !!given.zero_terminal_snr && !given.v_parameterization && !given.v2,
  },
  {
    options: ['save_every_n_epochs', 'save_n_epoch_ratio'],
    text: '--save_every_n_epochs is not used, since --save_n_epoch_ratio is given',
    breaks: (_, has) => has('save_n_epoch_ratio') && has('save_every_n_epochs'),
  },
  {
    options: ['save_last_n_epochs', 'save_every_n_epochs'],
    text: '--save_last_n_epochs has no effect without --save_every_n_epochs or --save_n_epoch_ratio',
    breaks: (_, has) => has('save_last_n_epochs') && !has('save_every_n_epochs') && !has('save_n_epoch_ratio'),
  },
  without('save_last_n_steps', 'save_every_n_steps'),
  without('save_last_n_epochs_state', 'save_state'),
  without('save_last_n_steps_state', 'save_state'),
  {
    options: ['save_state_on_train_end', 'save_state'],
    text: '--save_state_on_train_end is not needed: --save_state saves one at the end too',
    breaks: (given) => !!given.save_state_on_train_end && !!given.save_state,
  },
  // A description of the data may say validation_split; what has no effect then is told once they are known.
  ...(['validate_every_n_steps', 'validate_every_n_epochs', 'max_validation_steps'] as const).map(
    (name): TrainRule => ({
      options: [name, 'validation_split'],
      text: `--${name} has no effect without --validation_split`,
      breaks: (given, has) => has(name) && !given.validation_split && !isDescribed(has),
    }),
  ),
  ...(['huggingface_repo_type', 'huggingface_path_in_repo', 'huggingface_repo_visibility'] as const).map((name) =>
    without(name, 'huggingface_repo_id'),
  ),
  without('async_upload', 'huggingface_repo_id'),
  without('save_state_to_huggingface', 'huggingface_repo_id'),
  {
    options: ['huggingface_token', 'huggingface_repo_id', 'resume_from_huggingface'],
    text: '--huggingface_token has no effect without --huggingface_repo_id or --resume_from_huggingface',
    breaks: (given, has) => has('huggingface_token') && !has('huggingface_repo_id') && !given.resume_from_huggingface,
  },
  without('sample_at_first', 'sample_prompts'),
  ...(['dataset_config', 'train_data_dir', 'reg_data_dir', 'in_json'] as const).map(
    (name): TrainRule => ({
      options: [name, 'dataset_class'],
      text: `--${name} is not used, since --dataset_class describes the data`,
      breaks: (_, has) => has('dataset_class') && has(name),
    }),
  ),
  ...(['train_data_dir', 'reg_data_dir', 'in_json'] as const).map(
    (name): TrainRule => ({
      options: [name, 'dataset_config'],
      text: `--${name} is not used, since --dataset_config describes the data`,
      breaks: (_, has) => has('dataset_config') && has(name) && !has('dataset_class'),
    }),
  ),
  {
    options: ['reg_data_dir', 'in_json'],
    text: '--reg_data_dir is not used, since there are no regularization pictures beside the metadata of --in_json',
    breaks: (_, has) => has('in_json') && has('reg_data_dir') && !isDescribed(has),
  },
  ...(['color_aug', 'random_crop'] as const).map(
    (name): TrainRule => ({
      options: [name, 'in_json'],
      text: `--${name} changes pictures: latents that lie in files beside the pictures of --in_json are not used`,
      breaks: (given, has) => has('in_json') && !isDescribed(has) && !!given[name],
    }),
  ),
  {
    options: ['prior_loss_weight', 'reg_data_dir'],
    text: '--prior_loss_weight has no effect without --reg_data_dir',
    breaks: ({ prior_loss_weight = 1 }, has) =>
      prior_loss_weight !== 1 && !isDescribed(has) && (!has('reg_data_dir') || has('in_json')),
  },
  {
    options: ['cache_latents_to_disk', 'cache_latents'],
    text: '--cache_latents_to_disk switches --cache_latents on',
    breaks: (given) => !!given.cache_latents_to_disk && !given.cache_latents,
  },
  {
    options: ['cache_text_encoder_outputs_to_disk', 'cache_text_encoder_outputs'],
    text: '--cache_text_encoder_outputs_to_disk switches --cache_text_encoder_outputs on',
    breaks: (given) => !!given.cache_text_encoder_outputs_to_disk && !given.cache_text_encoder_outputs,
  },
  {
    options: ['vae_batch_size', 'cache_latents'],
    text: '--vae_batch_size has no effect without --cache_latents',
    breaks: (given) => (given.vae_batch_size ?? 1) > 1 && !given.cache_latents && !given.cache_latents_to_disk,
  },
  {
    options: ['cache_dir', 'cache_latents_to_disk', 'cache_text_encoder_outputs_to_disk'],
    text: '--cache_dir has no effect without --cache_latents_to_disk or --cache_text_encoder_outputs_to_disk',
    breaks: (given, has) =>
      has('cache_dir') && !given.cache_latents_to_disk && !given.cache_text_encoder_outputs_to_disk,
  },
  ...(['debug_dataset_max_batches', 'debug_dataset_html', 'debug_dataset_port'] as const).map((name) =>
    without(name, 'debug_dataset'),
  ),
  {
    options: ['cpu_offload_checkpointing', 'gradient_checkpointing'],
    text: '--cpu_offload_checkpointing is --gradient_checkpointing here: activations are in the memory of the host already',
    breaks: (given) => !!given.cpu_offload_checkpointing,
  },
  {
    options: ['no_cuda_graphs', 'device'],
    text: '--no_cuda_graphs has no effect on the CPU, which has none: leave it out, or choose a GPU with --device',
    breaks: (given) => !!given.no_cuda_graphs && (given.device ?? 'cpu') === 'cpu',
  },
  {
    options: ['kept_weights_gib', 'device'],
    text: '--kept_weights_gib has no effect on a GPU, which keeps none: leave it out',
    breaks: (given) => given.kept_weights_gib !== undefined && (given.device ?? 'cpu') !== 'cpu',
  },
  {
    options: ['initial_epoch', 'initial_step'],
    text: '--initial_epoch is not used, since --initial_step is given',
    breaks: (_, has) => has('initial_epoch') && has('initial_step'),
  },
  {
    options: ['skip_until_initial_step', 'initial_step', 'initial_epoch'],
    text: '--skip_until_initial_step has no effect without --initial_step or --initial_epoch',
    breaks: (given, has) => !!given.skip_until_initial_step && !has('initial_step') && !has('initial_epoch'),
  },
  {
    options: ['log_config', 'logging_dir', 'log_webhook'],
    text: '--log_config has no effect without --logging_dir or --log_webhook',
    breaks: (given, has) => !!given.log_config && !has('logging_dir') && !has('log_webhook'),
  },
  without('log_prefix', 'logging_dir'),
  without('log_tracker_name', 'logging_dir'),
  without('sample_every_n_epochs', 'sample_prompts'),
  without('sample_every_n_steps', 'sample_prompts'),
  {
    options: ['sample_prompts', 'sample_every_n_epochs', 'sample_every_n_steps'],
    text: '--sample_prompts draws nothing without --sample_every_n_epochs, --sample_every_n_steps or --sample_at_first',
    breaks: (given, has) =>
      has('sample_prompts') && !has('sample_every_n_epochs') && !has('sample_every_n_steps') && !given.sample_at_first,
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

/** Whether data are described by something that may be of any kind. */
function isDescribed(has: (name: TrainOptionName) => boolean): boolean {
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
    breaks: (given, has) => given[name] !== undefined && !has(needed),
  }
}

function without(name: TrainOptionName, needed: TrainOptionName, trainers?: readonly TrainerName[]): TrainRule {
  return {
    options: [name, needed],
    ...(trainers && { trainers }),
    text: `--${name} has no effect without --${needed}`,
    breaks: (given) => given[name] !== undefined && (given[needed] ?? false) === false,
  }
}
