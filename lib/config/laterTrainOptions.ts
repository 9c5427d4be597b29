import type { TrainOptionType } from './trainOptionTable.ts'

/** Options of sd-scripts' train_network.py that this version refuses by name, so that none is ignored in silence. */
export const laterTrainOptions: Readonly<Record<string, TrainOptionType>> = {
  ...typed('flag', [
    ...['color_aug', 'random_crop', 'debug_dataset', 'cache_latents_to_disk', 'weighted_captions'],
    ...[
      'save_state',
      'save_state_on_train_end',
      'save_state_to_huggingface',
      'resume_from_huggingface',
      'async_upload',
    ],
    ...['full_fp16', 'full_bf16', 'fp8_base', 'fp8_base_unet', 'no_half_vae', 'highvram', 'cpu_offload_checkpointing'],
    ...[
      'scale_v_pred_loss_like_noise_pred',
      'debiased_estimation_loss',
      'zero_terminal_snr',
      'masked_loss',
      'alpha_mask',
    ],
    ...['noise_offset_random_strength', 'ip_noise_gamma_random_strength', 'sample_at_first'],
    ...[
      'dim_from_weights',
      'output_config',
      'enable_wildcard',
      'cache_info',
      'torch_compile',
      'deepspeed',
      'log_config',
    ],
    ...[
      'console_log_simple',
      'skip_until_initial_step',
      'skip_cache_check',
      'ddp_gradient_as_bucket_view',
      'ddp_static_graph',
    ],
  ]),
  ...typed('integer', [
    ...[
      'token_warmup_min',
      'caption_dropout_every_n_epochs',
      'save_n_epoch_ratio',
      'save_last_n_epochs',
      'save_last_n_steps',
    ],
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
    ...[
      'token_warmup_step',
      'caption_dropout_rate',
      'caption_tag_dropout_rate',
      'multires_noise_discount',
      'ip_noise_gamma',
    ],
    ...['v_pred_like_loss', 'huber_c', 'huber_scale', 'scale_weight_norms', 'validation_split'],
  ]),
  ...typed('text', [
    ...['tokenizer_cache_dir', 'face_crop_aug_range', 'dataset_class', 'in_json', 'resume', 'wandb_api_key'],
    ...['wandb_run_name', 'log_tracker_config', 'console_log_level', 'console_log_file', 'huggingface_repo_id'],
    ...['huggingface_repo_type', 'huggingface_path_in_repo', 'huggingface_token', 'huggingface_repo_visibility'],
    ...['network_weights', 'loss_type', 'huber_schedule', 'conditioning_data_dir'],
    ...['caption_prefix', 'caption_suffix', 'caption_separator', 'secondary_separator', 'keep_tokens_separator'],
    ...['resize_interpolation', 'dynamo_backend', 'metadata_title', 'metadata_author', 'metadata_description'],
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
