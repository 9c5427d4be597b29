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
  deepspeed: 'there is one process and nothing to divide',
  ddp_timeout: 'there is one process and nothing to wait for',
  ddp_gradient_as_bucket_view: 'there is one process and nothing to share',
  ddp_static_graph: 'there is one process and nothing to share',
}
