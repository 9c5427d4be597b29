const oneProcess = 'there is one process and nothing to divide'
const otherFamilies = 'it is for models of other families than Stable Diffusion 1.x and 2.x'

/** Options of sd-scripts that there will be none of, and why. */
export const needlessTrainOptions: Readonly<Record<string, string>> = {
  skip_cache_check: 'caches are found by the content of their pictures, so that there is no check to skip',
  conditioning_data_dir: 'masks are given by the subsets of a dataset file, under that name',
  wandb_api_key: 'logs go to files, to a web address with log_webhook, or to an object of your own',
  wandb_run_name: 'logs go to files, to a web address with log_webhook, or to an object of your own',
  log_tracker_config: 'there are no trackers to configure',
  torch_compile: 'the kernels are compiled already',
  dynamo_backend: 'the kernels are compiled already',
  highvram: 'memory is kept for reuse anyway',
  disable_mmap_load_safetensors: 'files are read, never mapped',
  deepspeed: oneProcess,
  zero_stage: oneProcess,
  zero3_init_flag: oneProcess,
  zero3_save_16bit_model: oneProcess,
  offload_optimizer_device: oneProcess,
  offload_optimizer_nvme_path: oneProcess,
  offload_param_device: oneProcess,
  offload_param_nvme_path: oneProcess,
  fp16_master_weights_and_gradients: oneProcess,
  ddp_timeout: 'there is one process and nothing to wait for',
  ddp_gradient_as_bucket_view: 'there is one process and nothing to share',
  ddp_static_graph: 'there is one process and nothing to share',
  weighting_scheme: otherFamilies,
  logit_mean: otherFamilies,
  logit_std: otherFamilies,
  mode_scale: otherFamilies,
  blocks_to_swap: otherFamilies,
  text_encoder_batch_size: otherFamilies,
}
