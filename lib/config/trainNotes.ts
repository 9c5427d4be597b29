/** Rules between the options of a training, as data: what has no effect, or another one than it seems. */
import type { TrainerName, TrainOptionName } from './trainOptions.ts'
import { isDescribed, type TrainRule } from './trainRules.ts'

/** Options of certain schedules. `idle`: the value that files of other tools give whatever the schedule. */
const scheduleOptions: readonly {
  readonly name: TrainOptionName
  readonly schedules: readonly string[]
  readonly idle?: number
}[] = [
  {
    name: 'lr_scheduler_num_cycles',
    schedules: ['cosine_with_restarts', 'cosine_with_min_lr', 'warmup_stable_decay'],
    idle: 1,
  },
  { name: 'lr_scheduler_power', schedules: ['polynomial'], idle: 1 },
  { name: 'lr_scheduler_timescale', schedules: ['inverse_sqrt'] },
  { name: 'lr_scheduler_min_lr_ratio', schedules: ['cosine_with_min_lr', 'warmup_stable_decay'] },
  { name: 'lr_decay_steps', schedules: ['warmup_stable_decay'] },
]

/** What is said to the user, who need not mend it. */
export const trainNotes: readonly TrainRule[] = [
  without('learning_rate_te', 'train_text_encoder', ['fine-tune']),
  {
    options: ['learning_rate_te', 'stop_text_encoder_training'],
    trainers: ['train-db'],
    text: '--learning_rate_te has no effect, since --stop_text_encoder_training leaves the text encoder out',
    breaks: (given, has) => has('learning_rate_te') && (given.stop_text_encoder_training ?? 0) < 0,
  },
  {
    options: ['text_encoder_lr', 'network_train_unet_only'],
    text: '--text_encoder_lr has no effect, since --network_train_unet_only leaves the text encoder as it is',
    breaks: (given, has) => has('text_encoder_lr') && !!given.network_train_unet_only,
  },
  {
    options: ['unet_lr', 'network_train_text_encoder_only'],
    text: '--unet_lr has no effect, since --network_train_text_encoder_only leaves the U-Net as it is',
    breaks: (given, has) => has('unet_lr') && !!given.network_train_text_encoder_only,
  },
  {
    options: ['lr_scheduler', 'lr_scheduler_type'],
    text: '--lr_scheduler is not used, since --lr_scheduler_type is given',
    breaks: (given, has) => has('lr_scheduler') && !!given.lr_scheduler_type,
  },
  ...scheduleOptions.map(
    ({ name, schedules, idle }): TrainRule => ({
      options: [name, 'lr_scheduler'],
      text: `--${name} has no effect but with --lr_scheduler ${schedules.join(' or ')}`,
      breaks: ({ [name]: value, lr_scheduler = 'constant', lr_scheduler_type }) =>
        value !== undefined && value !== idle && (!!lr_scheduler_type || !schedules.includes(lr_scheduler)),
    }),
  ),
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
  {
    options: ['adaptive_noise_scale', 'noise_offset'],
    text: '--adaptive_noise_scale has no effect with --noise_offset 0, which is no offset: it changes one that is there',
    breaks: ({ noise_offset }, has) => has('adaptive_noise_scale') && noise_offset === 0,
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

function without(name: TrainOptionName, needed: TrainOptionName, trainers?: readonly TrainerName[]): TrainRule {
  return {
    options: [name, needed],
    ...(trainers && { trainers }),
    text: `--${name} has no effect without --${needed}`,
    breaks: (_, has) => has(name) && !has(needed),
  }
}
