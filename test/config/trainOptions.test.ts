import { describe, expect, it } from 'vitest'
import { describeTrainOptions } from '../../lib/config/describeTrainOptions.ts'
import {
  needlessTrainOptions,
  readTrainArguments,
  type TrainOption,
  trainerNames,
  trainOptions,
  trainOptionsOf,
} from '../../lib/config/trainOptions.ts'
import { parseTraining } from '../../lib/train/options/parseTraining.ts'
import { needed, problemsOf } from './trainProblems.ts'

describe('the tables', () => {
  it('name every option once', () => {
    for (const trainer of trainerNames) {
      const rows = (trainOptions as readonly TrainOption[]).filter(({ trainers = trainerNames }) =>
        trainers.includes(trainer),
      )
      const names = [...rows.map(({ name }) => name), ...Object.keys(needlessTrainOptions)]
      expect(names.filter((name, at) => names.indexOf(name) !== at)).toEqual([])
    }
  })

  it('cover every option of the reference that train_network has', () => {
    const reference = `v2 v_parameterization pretrained_model_name_or_path tokenizer_cache_dir train_data_dir shuffle_caption
      caption_extension caption_extention keep_tokens color_aug flip_aug random_crop face_crop_aug_range debug_dataset resolution
      cache_latents cache_latents_to_disk vae_batch_size enable_bucket min_bucket_reso max_bucket_reso bucket_reso_steps
      bucket_no_upscale token_warmup_min token_warmup_step dataset_class caption_dropout_rate caption_dropout_every_n_epochs
      caption_tag_dropout_rate reg_data_dir in_json dataset_repeats dataset_config output_dir output_name huggingface_repo_id
      huggingface_repo_type huggingface_path_in_repo huggingface_token huggingface_repo_visibility save_state_to_huggingface
      resume_from_huggingface async_upload save_precision save_every_n_epochs save_every_n_steps save_n_epoch_ratio
      save_last_n_epochs save_last_n_epochs_state save_last_n_steps save_last_n_steps_state save_state resume save_model_as
      train_batch_size max_token_length mem_eff_attn xformers vae max_train_steps max_train_epochs max_data_loader_n_workers
      persistent_data_loader_workers seed gradient_checkpointing gradient_accumulation_steps mixed_precision full_fp16 clip_skip
      noise_offset adaptive_noise_scale multires_noise_iterations multires_noise_discount lowram min_snr_gamma
      scale_v_pred_loss_like_noise_pred weighted_captions prior_loss_weight config_file output_config sample_every_n_steps
      sample_every_n_epochs sample_prompts sample_sampler logging_dir log_with log_prefix log_tracker_name wandb_api_key
      optimizer_type use_8bit_adam use_lion_optimizer learning_rate max_grad_norm optimizer_args lr_scheduler lr_scheduler_type
      lr_scheduler_args lr_warmup_steps lr_scheduler_num_cycles lr_scheduler_power unet_lr text_encoder_lr network_module
      network_weights network_dim network_alpha network_dropout network_args network_train_unet_only
      network_train_text_encoder_only dim_from_weights scale_weight_norms base_weights base_weights_multiplier no_metadata
      training_comment`
    const known = new Set([...trainOptionsOf('train-network').keys(), ...Object.keys(needlessTrainOptions)])
    expect(reference.split(/\s+/).filter((name) => !known.has(name))).toEqual([])
  })

  it('cover every later option of the reference that train_network has, or say why they are not needed', () => {
    const later = `sdpa full_bf16 ip_noise_gamma zero_terminal_snr min_timestep max_timestep v_pred_like_loss caption_prefix
      caption_suffix log_tracker_config metadata_title metadata_author metadata_description metadata_license metadata_tags
      no_half_vae debiased_estimation_loss sample_at_first caption_separator keep_tokens_separator wandb_run_name ddp_timeout
      torch_compile dynamo_backend fp8_base highvram loss_type huber_schedule huber_c huber_scale masked_loss
      conditioning_data_dir noise_offset_random_strength ip_noise_gamma_random_strength save_state_on_train_end
      secondary_separator enable_wildcard cache_info deepspeed zero_stage offload_optimizer_device
      offload_optimizer_nvme_path offload_param_device offload_param_nvme_path zero3_init_flag zero3_save_16bit_model
      fp16_master_weights_and_gradients ddp_gradient_as_bucket_view ddp_static_graph console_log_level console_log_file
      console_log_simple alpha_mask initial_epoch initial_step skip_until_initial_step lr_decay_steps
      lr_scheduler_timescale lr_scheduler_min_lr_ratio fused_backward_pass log_config validation_split validation_seed
      validate_every_n_steps validate_every_n_epochs max_validation_steps skip_cache_check resize_interpolation
      fp8_base_unet cpu_offload_checkpointing metadata_usage_hint metadata_thumbnail metadata_merged_from
      metadata_trigger_phrase metadata_preprocessor metadata_is_negative_embedding weighting_scheme logit_mean logit_std
      mode_scale blocks_to_swap cache_text_encoder_outputs cache_text_encoder_outputs_to_disk text_encoder_batch_size
      disable_mmap_load_safetensors`
    const known = new Set([...trainOptionsOf('train-network').keys(), ...Object.keys(needlessTrainOptions)])
    expect(later.split(/\s+/).filter((name) => !known.has(name))).toEqual([])
  })

  it('are described in full and within the width', () => {
    const text = describeTrainOptions('train-network', 80)
    for (const name of trainOptionsOf('train-network').keys()) expect(text).toContain(`--${name}`)
    expect(Math.max(...text.split('\n').map((line) => line.length))).toBeLessThanOrEqual(80)
  })
})

describe('arguments', () => {
  it('are typed by their rows, with underscores or dashes, after a space or an equals sign', () => {
    const args = ['--noise_offset', '-0.1', '--network-dim=8', '--optimizer_args', 'a=1', 'b=.9,.999', '--flip-aug']
    const { given, problems } = readTrainArguments(
      [...args, '--resolution', '512,768', '--lr_scheduler', 'COSINE'],
      'train-network',
    )
    expect(problems).toEqual([])
    expect(given).toEqual({
      noise_offset: -0.1,
      network_dim: 8,
      optimizer_args: ['a=1', 'b=.9,.999'],
      flip_aug: true,
      resolution: [512, 768],
      lr_scheduler: 'cosine',
    })
  })

  it('take an empty text for nothing', async () => {
    const empty = ['--vae', '', '--resume=', '--output_name', '', '--lr_scheduler_type', '', '--dataset_class', '']
    const { config, notes } = await parseTraining('train-network', [...needed, ...empty])
    expect(config).toEqual((await parseTraining('train-network', needed)).config)
    expect(notes).toEqual([])
    expect(await problemsOf(...needed, '--output_dir', '')).toEqual([expect.stringMatching(/^--output_dir is missing/)])
    expect(readTrainArguments(['--caption_extension', ''], 'train-network').given).toEqual({ caption_extension: '' })
  })

  it('count the last of an option given twice', () => {
    expect(readTrainArguments(['--seed', '1', '--seed', '2'], 'train-network').given).toEqual({ seed: 2 })
  })

  it.each([
    [['--network_dimm', '8'], 'unknown option "--network_dimm". Did you mean "--network_dim"?'],
    [['--caption_ext', 'txt'], 'unknown option "--caption_ext".'],
    [['--network_al', '1'], 'unknown option "--network_al". Did you mean "--network_alpha"?'],
    [['--skip_cache_check'], '--skip_cache_check is not needed: caches are found by the content of their pictures'],
    [['--constructor', '1'], 'unknown option "--constructor"'],
    [['--__proto__', '1'], 'unknown option "--__proto__"'],
    [['--face_crop_aug_range', '3,1'], 'must be two numbers of at least 0, the smaller first ("1.0,3.0"), found "3,1"'],
    [['--face_crop_aug_range', '1'], 'must be two numbers'],
    [['--face_crop_aug_range', '1,'], 'must be two numbers'],
    [['--resize_interpolation', 'cubik'], 'found "cubik". Did you mean "cubic"?'],
    [['--caption_dropout_rate', '1.1'], '--caption_dropout_rate must be a number from 0 to 1, found "1.1"'],
    [['--on_bad_image', 'skp'], 'found "skp". Did you mean "skip"?'],
    [['--debug_dataset_port', '70000'], 'must be a whole number from 0 to 65535'],
    [['--console-log-level', 'a'], '--console_log_level must be one of DEBUG, INFO'],
    [
      ['--token_string', 'x'],
      '--token_string is an option of train-textual-inversion and train-textual-inversion-xti, not of train-network',
    ],
    [['--seed', 'x'], '--seed must be a whole number from 0 to 4294967296, found "x"'],
    [['--seed', '1.5'], '--seed must be a whole number'],
    [['--train_batch_size', '0'], '--train_batch_size must be a whole number of at least 1, found "0"'],
    [['--learning_rate', ''], '--learning_rate must be a number of at least 0, found ""'],
    [
      ['--resolution', '512x512'],
      '--resolution must be one or two whole numbers ("512" or "512,768"), found "512x512"',
    ],
    [['--resolution', '1,2,3'], '--resolution must be one or two whole numbers'],
    [['--seed'], '--seed needs a value: a whole number'],
    [['--seed', '--flip_aug'], '--seed needs a value: a whole number'],
    [['--flip_aug=yes'], '--flip_aug takes no value, found "yes"'],
    [['--flip_aug', 'true'], 'unexpected argument "true": options are written --name value'],
    [['-x'], 'unexpected argument "-x"'],
    [['--lr_scheduler', 'cosin'], 'found "cosin". Did you mean "cosine"?'],
    [['--lr_warmup_steps', '1.5'], '--lr_warmup_steps must be a whole number of at least 0, or a share of the run'],
    [['--lr_warmup_steps', '101%'], 'found "101%"'],
    [['--lr_warmup_steps', '-1'], 'found "-1"'],
    [['--sample_sampler', 'eular_a'], 'found "eular_a". Did you mean "euler_a"?'],
    [['--save_model_as', 'diffusers'], '--save_model_as must be one of safetensors, ckpt, pt, found "diffusers"'],
    [['--log_with', 'wandb'], '--log_with must be one of tensorboard, jsonl, all, found "wandb"'],
    [['--max_token_length', '77'], '--max_token_length must be one of 75, 150, 225, found "77"'],
  ])('%j are refused', (args, message) => {
    const { problems } = readTrainArguments(args, 'train-network')
    expect(problems).toHaveLength(1)
    expect(problems[0]).toContain(message)
  })
})

describe('fp8_base', () => {
  const options = (...more: readonly string[]) => parseTraining('train-network', [...needed, ...more])
  it('stores both parts in 8 bits, and fp8_base_unet one of them', async () => {
    const half = ['--mixed_precision', 'fp16']
    expect((await options(...half)).config.training).not.toHaveProperty('eightBitParts')
    expect((await options(...half, '--fp8_base')).config.training.eightBitParts).toEqual(['unet', 'textEncoder'])
    expect((await options(...half, '--fp8_base_unet')).config.training.eightBitParts).toEqual(['unet'])
    const both = await options(...half, '--fp8_base', '--fp8_base_unet')
    expect(both.config.training.eightBitParts).toEqual(['unet'])
    expect(both.notes).toEqual(['--fp8_base is not used, since --fp8_base_unet leaves the text encoder as it is'])
  })
  it('is refused where the model is trained, and without 16 bits', async () => {
    expect(await problemsOf(...needed, '--fp8_base_unet', '--mixed_precision', 'no')).toEqual([
      '--fp8_base_unet needs --mixed_precision fp16 or bf16',
    ])
    expect(readTrainArguments(['--fp8_base'], 'train-db').problems).toEqual([
      '--fp8_base is an option of train-network and train-textual-inversion and train-textual-inversion-xti, not of train-db',
    ])
  })
})

describe('rules between options', () => {
  it('report all problems of one command line together', async () => {
    expect(await problemsOf('--network_dim', 'x', '--fp8_base', '--sede', '1', '--output_dir', 'out')).toEqual([
      '--network_dim must be a whole number of at least 1, found "x"',
      'unknown option "--sede". Did you mean "--seed"?',
      expect.stringContaining('--pretrained_model_name_or_path is missing'),
      'there is no training data: give --dataset_config, --train_data_dir or --in_json',
      '--fp8_base needs --mixed_precision fp16 or bf16',
    ])
  })

  it.each([
    [['--adaptive_noise_scale', '0.1'], '--adaptive_noise_scale needs --noise_offset'],
    [['--min_timestep', '501', '--max_timestep', '500'], '--min_timestep must not be more than --max_timestep'],
    [['--multires_noise_iterations', '-1'], 'must be a whole number of at least 0, found "-1"'],
    [['--full_fp16'], '--full_fp16 needs --mixed_precision fp16'],
    [['--full_fp16', '--mixed_precision', 'bf16'], '--full_fp16 needs --mixed_precision fp16'],
    [['--full_bf16', '--mixed_precision', 'fp16'], '--full_bf16 needs --mixed_precision bf16'],
    [['--mixed_precision', 'fp8'], '--mixed_precision must be one of no, fp16, bf16, found "fp8"'],
    [['--log_with', 'tensorboard'], '--log_with needs --logging_dir, the folder of the log'],
    [['--initial_step', '3', '--resume', 'state'], '--initial_step contradicts --resume'],
    [['--initial_epoch', '0'], '--initial_epoch must be a whole number of at least 1, found "0"'],
    [['--network_train_unet_only', '--network_train_text_encoder_only'], 'leave nothing to train'],
    [['--use_8bit_adam', '--optimizer_type', 'AdamW'], '--use_8bit_adam contradicts --optimizer_type AdamW'],
    [['--lr_warmup_steps', '10'], 'use constant_with_warmup'],
    [['--lr_scheduler', 'polynomial', '--learning_rate', '1e-8'], '--learning_rate must be larger, found 1e-8'],
    [['--optimizer_args', 'betas=0.9'], 'betas of AdamW must be 2 numbers from 0 to below 1, found 0.9'],
    [['--optimizer_args', 'betas=(0.9,1.0)'], 'betas of AdamW must be 2 numbers from 0 to below 1, found (0.9, 1)'],
    [['--optimizer_args', 'lr=1'], 'the learning rate is --learning_rate, not lr'],
    [['--optimizer_args', 'eps=1e-8', 'eps=1e-7'], 'eps is given twice'],
    [
      ['--optimizer_args', 'eps=true'],
      'the value of eps: expected a value at character 1, found "true"; Python writes True',
    ],
    [['--optimizer_type', 'AdamX'], '"AdamX" is no optimizer'],
    [['--optimizer_type', 'adam'], 'Did you mean "Adam"?'],
    [['--optimizer_type', 'package#Mine'], 'loads code only from a file given by its path'],
    [['--optimizer_type', './nowhere.js#Mine'], 'there is no file'],
    [['--use_8bit_adam', '--use_lion_optimizer'], '--use_8bit_adam contradicts --use_lion_optimizer'],
    [
      ['--use_lion_optimizer', '--optimizer_type', 'Prodigy'],
      '--use_lion_optimizer contradicts --optimizer_type Prodigy',
    ],
    [['--lr_scheduler', 'adafactor'], '--lr_scheduler adafactor needs --optimizer_type AdaFactor'],
    [['--lr_scheduler', 'cosine_with_min_lr'], 'needs --lr_scheduler_min_lr_ratio'],
    [['--lr_scheduler', 'warmup_stable_decay'], 'needs --lr_decay_steps'],
    [['--lr_scheduler_type', 'LambdaLR'], 'it takes a function of Python'],
    [['--lr_scheduler_type', 'StepLR'], '--lr_scheduler_args: StepLR needs step_size'],
    [['--lr_scheduler_type', 'StepLR', '--lr_scheduler_args', 'step_size=3', '--lr_warmup_steps', '2'], 'leave it out'],
    [['--lr_scheduler_args', 'a=1', '--scheduler_args', 'a=1'], '--scheduler_args is another name'],
    [['--network_args', 'conv_alpha=4'], 'conv_alpha has no effect without conv_dim'],
    [['--network_module', 'networks.dylor'], 'found "networks.dylor". Did you mean "networks.dylora"?'],
    [['--network_args', 'down_lr_weigth=sine'], 'Did you mean "down_lr_weight"?'],
    [['--network_args', 'down_lr_weight=sin'], 'one of sine, cosine'],
    [['--optimizer_args', 'weight_decy=1'], 'Did you mean "weight_decay"?'],
    [['--optimizer_args', 'eps'], '--optimizer_args must be key=value, such as weight_decay=0.01, found "eps"'],
  ])('%j is an error', async (args, message) => {
    const problems = await problemsOf(...needed, ...args)
    expect(problems).toHaveLength(1)
    expect(problems[0]).toContain(message)
  })

  it('say which options have no effect', async () => {
    const args = ['--xformers', '--train_data_dir', 'x', '--log_prefix', 'a', '--sample_every_n_epochs', '1']
    const { notes } = await parseTraining('train-network', [...needed, ...args])
    expect(notes).toEqual([
      '--xformers changes nothing. Attention is always memory-efficient here.',
      '--train_data_dir is not used, since --dataset_config describes the data',
      '--log_prefix has no effect without --logging_dir',
      '--sample_every_n_epochs has no effect without --sample_prompts',
    ])
    const weighted = await parseTraining('train-db', [...needed, '--no_token_padding', '--weighted_captions'])
    expect(weighted.notes).toEqual([
      '--no_token_padding has no effect with --weighted_captions, whose rows are always full',
    ])
  })

  it('take offloaded activations for those that are made again', async () => {
    const { config, notes } = await parseTraining('train-network', [...needed, '--cpu_offload_checkpointing'])
    expect(config.training.gradientCheckpointing).toBe(true)
    expect(notes).toEqual([
      '--cpu_offload_checkpointing is --gradient_checkpointing here: activations are in the memory of the host already',
    ])
  })

  it('says that graphs cannot be switched off where there are none', async () => {
    const off = [...needed, '--no_cuda_graphs']
    expect((await parseTraining('train-network', off)).notes).toEqual([
      '--no_cuda_graphs has no effect on the CPU, which has none: leave it out, or choose a GPU with --device',
    ])
    const { config, notes } = await parseTraining('train-network', [...off, '--device', 'cuda'])
    expect([config.training.noCudaGraphs, notes]).toEqual([true, []])
  })

  it('limit what is kept of transformed weights, on the CPU alone', async () => {
    const limited = [...needed, '--kept_weights_gib', '0.5']
    const { config, notes } = await parseTraining('train-network', limited)
    expect([config.training.keptWeightsBytes, notes]).toEqual([2 ** 29, []])
    expect((await parseTraining('train-network', [...limited, '--device', 'cuda'])).notes).toEqual([
      '--kept_weights_gib has no effect on a GPU, which keeps none: leave it out',
    ])
  })

  it('begin a run later, by a step or by an epoch', async () => {
    const startOf = async (...args: readonly string[]) => {
      const { config, notes } = await parseTraining('train-network', [...needed, ...args])
      return { start: config.training.start, notes }
    }
    expect(await startOf('--initial_epoch', '2')).toEqual({ start: { at: { epoch: 2 }, skip: false }, notes: [] })
    expect(await startOf('--initial_epoch', '2', '--initial_step', '0', '--skip_until_initial_step')).toEqual({
      start: { at: { step: 0 }, skip: true },
      notes: ['--initial_epoch is not used, since --initial_step is given'],
    })
    expect(await startOf('--skip_until_initial_step')).toEqual({
      start: undefined,
      notes: ['--skip_until_initial_step has no effect without --initial_step or --initial_epoch'],
    })
  })

  it('train models in float16, networks beside them in float32', async () => {
    const args = [...needed, '--mixed_precision', 'fp16', '--full_fp16', '--no_half_vae']
    const training = { mixedPrecision: 'fp16', fullPrecision: true, noHalfVae: true }
    const fineTune = await parseTraining('fine-tune', args)
    expect(fineTune).toMatchObject({ config: { training }, notes: [] })
    const network = await parseTraining('train-network', args)
    expect(network).toMatchObject({
      config: { training },
      notes: ['--full_fp16 has no effect here: what is trained is small, and stays float32'],
    })
  })
})
