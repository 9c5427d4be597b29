import type { TrainOptionType } from './trainOptionRow.ts'

/** Options of sd-scripts' train_network.py that this version refuses by name, so that none is ignored in silence. */
export const laterTrainOptions: Readonly<Record<string, TrainOptionType>> = {
  ...typed('flag', [
    ...[
      'save_state',
      'save_state_on_train_end',
      'save_state_to_huggingface',
      'resume_from_huggingface',
      'async_upload',
    ],
    ...['full_fp16', 'full_bf16', 'fp8_base', 'fp8_base_unet', 'no_half_vae', 'highvram', 'cpu_offload_checkpointing'],
    ...['scale_v_pred_loss_like_noise_pred', 'debiased_estimation_loss', 'zero_terminal_snr', 'masked_loss'],
    ...['noise_offset_random_strength', 'ip_noise_gamma_random_strength', 'sample_at_first'],
    ...['dim_from_weights', 'cache_info', 'torch_compile', 'deepspeed', 'log_config'],
    ...['console_log_simple', 'skip_until_initial_step', 'ddp_gradient_as_bucket_view', 'ddp_static_graph'],
  ]),
  ...typed('integer', [
    ...['save_n_epoch_ratio', 'save_last_n_epochs', 'save_last_n_steps'],
    ...[
      'save_last_n_epochs_state',
      'save_last_n_steps_state',
      'multires_noise_iterations',
      'min_timestep',
      'max_timestep',
    ],
    ...['initial_epoch', 'initial_step', 'ddp_timeout', 'validate_every_n_steps', 'validate_every_n_epochs'],
    ...['max_validation_steps', 'validation_seed'],
  ]),
  ...typed('number', [
    ...['multires_noise_discount', 'ip_noise_gamma'],
    ...['v_pred_like_loss', 'huber_c', 'huber_scale', 'scale_weight_norms', 'validation_split'],
  ]),
  ...typed('text', [
    ...['dataset_class', 'resume', 'wandb_api_key'],
    ...['wandb_run_name', 'log_tracker_config', 'console_log_level', 'console_log_file', 'huggingface_repo_id'],
    ...['huggingface_repo_type', 'huggingface_path_in_repo', 'huggingface_token', 'huggingface_repo_visibility'],
    ...['network_weights', 'loss_type', 'huber_schedule', 'conditioning_data_dir'],
    ...['dynamo_backend', 'metadata_title', 'metadata_author', 'metadata_description'],
    ...['metadata_license', 'metadata_tags', 'metadata_usage_hint', 'metadata_thumbnail', 'metadata_merged_from'],
    ...['metadata_trigger_phrase', 'metadata_preprocessor', 'metadata_is_negative_embedding'],
  ]),
  ...typed('list', [...['base_weights', 'base_weights_multiplier']]),
}

function typed(type: TrainOptionType, names: readonly string[]): Record<string, TrainOptionType> {
  return Object.fromEntries(names.map((name) => [name, type]))
}

/** Options of sd-scripts' other trainers, and the trainer each belongs to. */
export const otherTrainerOptions: Readonly<Record<string, string>> = {
  diffusers_xformers: 'fine_tune',
  train_text_encoder: 'fine_tune',
  learning_rate_te: 'fine_tune and train_db',
  use_safetensors: 'fine_tune and train_db',
  no_token_padding: 'train_db',
  stop_text_encoder_training: 'train_db',
  weights: 'train_textual_inversion',
  num_vectors_per_token: 'train_textual_inversion',
  token_string: 'train_textual_inversion',
  init_word: 'train_textual_inversion',
  use_object_template: 'train_textual_inversion',
  use_style_template: 'train_textual_inversion',
}

/** Options of sd-scripts that there will be none of, and why. */
export const needlessTrainOptions: Readonly<Record<string, string>> = {
  skip_cache_check: 'caches are found by the content of their pictures, so that there is no check to skip',
}
