/**
 * The options of `noisewright train-network`, as data. Parsing, the configuration file, help and documentation all read these
 * tables; to add an option, add a row here and a field in `trainNetworkOptions.ts`.
 *
 * Names, types and defaults are those of kohya-ss sd-scripts' train_network.py.
 */

export type TrainOptionGroup =
  | 'model'
  | 'data'
  | 'network'
  | 'optimizer'
  | 'training'
  | 'output'
  | 'preview'
  | 'logging'
  | 'hints'

export type TrainOptionType = 'flag' | 'integer' | 'number' | 'text' | 'list' | 'resolution' | 'steps'

export interface TrainOption {
  /** On the command line after two dashes, and a key in a configuration file. Dashes for underscores are accepted. */
  readonly name: string
  readonly type: TrainOptionType
  readonly group: TrainOptionGroup
  /** The first version that has it. */
  readonly since: string
  /** Undefined: none. */
  readonly default?: number | boolean | string
  readonly required?: true
  readonly minimum?: number
  readonly maximum?: number
  /** The accepted words, compared without regard to case. */
  readonly choices?: readonly string[]
  /** Words that sd-scripts knows and this version refuses by name. */
  readonly laterChoices?: readonly string[]
  /** Accepted and without effect, for the reason in `help`. */
  readonly hint?: true
  readonly help: string
}

const inFirstVersion = { since: '0.1.0' } as const

const model = { ...inFirstVersion, group: 'model' } as const
const data = { ...inFirstVersion, group: 'data' } as const
const network = { ...inFirstVersion, group: 'network' } as const
const optimizer = { ...inFirstVersion, group: 'optimizer' } as const
const training = { ...inFirstVersion, group: 'training' } as const
const output = { ...inFirstVersion, group: 'output' } as const
const preview = { ...inFirstVersion, group: 'preview' } as const
const logging = { ...inFirstVersion, group: 'logging' } as const
const hint = { ...inFirstVersion, group: 'hints', hint: true } as const

const flag = { type: 'flag', default: false } as const
const text = { type: 'text' } as const
const integer = { type: 'integer' } as const
/** A whole number of at least 1. */
const count = { type: 'integer', minimum: 1 } as const
const number = { type: 'number' } as const
/** A number of at least 0. */
const amount = { type: 'number', minimum: 0 } as const

export const trainOptions = [
  {
    ...model,
    ...text,
    name: 'pretrained_model_name_or_path',
    required: true,
    help: 'Model to start from: a checkpoint file (.safetensors, .ckpt), a folder in the diffusers layout, or a hub id.',
  },
  { ...model, ...flag, name: 'v2', help: 'The model must be Stable Diffusion 2.x; without it the files tell.' },
  {
    ...model,
    ...flag,
    name: 'v_parameterization',
    help: 'The model predicts velocity. Needed for 2.x files that do not store it; without it the files tell, else noise.',
  },
  {
    ...model,
    ...text,
    name: 'vae',
    help: "VAE in place of the model's own: a folder, a .safetensors, .ckpt or .bin file, another checkpoint, or a hub id.",
  },
  {
    ...model,
    ...count,
    name: 'clip_skip',
    help: 'Condition on the hidden state this far from the end; 1 is the last.',
  },
  {
    ...model,
    ...text,
    name: 'max_token_length',
    choices: ['75', '150', '225'],
    help: 'Tokens of a caption that are used; 75 when not given.',
  },
  {
    ...model,
    ...text,
    name: 'config_file',
    help: 'TOML file with options of this list; the command line wins over it. ".toml" is added when missing.',
  },

  {
    ...data,
    ...text,
    name: 'dataset_config',
    help: 'Description of the data, .toml or .json: [general], [[datasets]], [[datasets.subsets]].',
  },
  { ...data, ...text, name: 'train_data_dir', help: 'Folder of <repeats>_<words> folders of pictures.' },
  { ...data, ...text, name: 'reg_data_dir', help: 'The same with regularization pictures.' },
  {
    ...data,
    name: 'resolution',
    type: 'resolution',
    help: 'Training size in pixels: "512", or "512,768" (width, height).',
  },
  { ...data, ...count, name: 'train_batch_size', default: 1, help: 'Pictures per batch.' },
  { ...data, ...integer, name: 'dataset_repeats', default: 1, help: 'How often each picture is seen per epoch.' },
  { ...data, ...flag, name: 'enable_bucket', help: 'Sort pictures into buckets by aspect ratio.' },
  { ...data, ...count, name: 'min_bucket_reso', default: 256, help: 'Smallest bucket side in pixels.' },
  { ...data, ...count, name: 'max_bucket_reso', default: 1024, help: 'Largest bucket side in pixels.' },
  {
    ...data,
    ...count,
    name: 'bucket_reso_steps',
    default: 64,
    help: 'Steps of bucket sides in pixels, a multiple of 8.',
  },
  { ...data, ...flag, name: 'bucket_no_upscale', help: 'Never enlarge a picture.' },
  { ...data, ...text, name: 'caption_extension', default: '.caption', help: 'File extension of captions.' },
  {
    ...data,
    ...text,
    name: 'caption_extention',
    help: 'Another spelling of caption_extension; it wins when both are given.',
  },
  { ...data, ...flag, name: 'shuffle_caption', help: 'Shuffle the comma-separated tags of a caption at each use.' },
  {
    ...data,
    ...integer,
    name: 'keep_tokens',
    default: 0,
    minimum: 0,
    help: 'Leading tags that shuffling leaves in place.',
  },
  { ...data, ...flag, name: 'flip_aug', help: 'Mirror pictures left to right with probability one half.' },
  {
    ...data,
    ...flag,
    name: 'cache_latents',
    help: 'Encode every picture once, before training, and keep the latents.',
  },
  { ...data, ...count, name: 'vae_batch_size', default: 1, help: 'Pictures encoded at once for the latent cache.' },
  { ...data, ...amount, name: 'prior_loss_weight', default: 1, help: 'Loss weight of regularization pictures.' },

  {
    ...network,
    ...text,
    name: 'network_module',
    default: 'networks.lora',
    choices: ['networks.lora'],
    laterChoices: ['networks.dylora', 'networks.lora_fa', 'networks.oft', 'lycoris.kohya'],
    help: 'Kind of network: LoRA on linear layers and 1x1 convolutions of the attention blocks.',
  },
  { ...network, ...count, name: 'network_dim', help: 'Rank; 4 when not given.' },
  { ...network, ...number, name: 'network_alpha', help: 'The network is scaled by alpha / rank; 1 when not given.' },
  {
    ...network,
    ...number,
    name: 'network_dropout',
    minimum: 0,
    maximum: 1,
    help: "Probability of zeroing an element of each module's low-rank activation.",
  },
  {
    ...network,
    name: 'network_args',
    type: 'list',
    help: 'Rates within the network: down_lr_weight, mid_lr_weight, up_lr_weight (12, 1 and 12 numbers, or presets such as sine+0.25), block_lr_zero_threshold, loraplus_lr_ratio, loraplus_unet_lr_ratio, loraplus_text_encoder_lr_ratio.',
  },
  { ...network, ...flag, name: 'network_train_unet_only', help: 'Leave the text encoder as it is.' },
  { ...network, ...flag, name: 'network_train_text_encoder_only', help: 'Leave the U-Net as it is.' },

  {
    ...optimizer,
    ...text,
    name: 'optimizer_type',
    default: 'AdamW',
    help: `Optimizer: AdamW, AdamW8bit, Lion, Prodigy and others (README.md has the table), a class of torch.optim by its exact name, or a class of your own as ./file.js#Class.`,
  },
  { ...optimizer, ...flag, name: 'use_8bit_adam', help: 'Another way to say optimizer_type AdamW8bit.' },
  { ...optimizer, ...flag, name: 'use_lion_optimizer', help: 'Another way to say optimizer_type Lion.' },
  {
    ...optimizer,
    name: 'optimizer_args',
    type: 'list',
    help: 'Arguments of the optimizer, as Python writes them: betas=0.9,0.999 weight_decay=0.01 decouple=True.',
  },
  { ...optimizer, ...amount, name: 'learning_rate', default: 2e-6, help: 'Learning rate.' },
  {
    ...optimizer,
    ...amount,
    name: 'unet_lr',
    help: "Learning rate of the U-Net's modules; learning_rate when not given.",
  },
  {
    ...optimizer,
    ...amount,
    name: 'text_encoder_lr',
    help: "Learning rate of the text encoder's modules; learning_rate when not given.",
  },
  { ...optimizer, ...amount, name: 'max_grad_norm', default: 1, help: 'Gradients are clipped to this norm; 0 is off.' },
  {
    ...optimizer,
    ...text,
    name: 'lr_scheduler',
    default: 'constant',
    choices: [
      ...(['constant', 'constant_with_warmup', 'linear', 'cosine', 'cosine_with_restarts', 'polynomial'] as const),
      ...(['adafactor', 'inverse_sqrt', 'cosine_with_min_lr', 'warmup_stable_decay', 'piecewise_constant'] as const),
    ],
    help: 'How the learning rate changes over the training; `noisewright plot-schedule` draws it.',
  },
  {
    ...optimizer,
    ...text,
    name: 'lr_scheduler_type',
    help: 'In place of lr_scheduler: a class of torch.optim.lr_scheduler, such as StepLR or OneCycleLR, or a function of your own as ./file.js#name.',
  },
  {
    ...optimizer,
    name: 'lr_scheduler_args',
    type: 'list',
    help: 'Arguments of the schedule, as Python writes them: T_max=1000 eta_min=1e-6.',
  },
  { ...optimizer, name: 'scheduler_args', type: 'list', help: 'Another name of lr_scheduler_args.' },
  {
    ...optimizer,
    name: 'lr_warmup_steps',
    type: 'steps',
    default: 0,
    help: 'Optimizer steps of rising rate, or a share of the run: 0.1 or 10%.',
  },
  {
    ...optimizer,
    name: 'lr_decay_steps',
    type: 'steps',
    help: 'Optimizer steps of falling rate at the end, or a share of the run; for warmup_stable_decay.',
  },
  {
    ...optimizer,
    ...count,
    name: 'lr_scheduler_num_cycles',
    default: 1,
    help: 'Restarts of cosine_with_restarts; half waves of cosine_with_min_lr and warmup_stable_decay.',
  },
  { ...optimizer, ...number, name: 'lr_scheduler_power', default: 1, help: 'Power of polynomial.' },
  { ...optimizer, ...count, name: 'lr_scheduler_timescale', help: 'Of inverse_sqrt; the warm-up when not given.' },
  {
    ...optimizer,
    ...number,
    name: 'lr_scheduler_min_lr_ratio',
    minimum: 0,
    maximum: 1,
    help: 'Where cosine_with_min_lr and warmup_stable_decay end, as a share of the rate.',
  },

  { ...training, ...count, name: 'max_train_steps', default: 1600, help: 'Optimizer steps.' },
  { ...training, ...count, name: 'max_train_epochs', help: 'Epochs; wins over max_train_steps.' },
  {
    ...training,
    ...integer,
    name: 'seed',
    minimum: 0,
    maximum: 2 ** 32,
    help: 'Seed; drawn and reported when not given.',
  },
  {
    ...training,
    ...flag,
    name: 'gradient_checkpointing',
    help: 'Less memory for more time: activations are recomputed.',
  },
  { ...training, ...count, name: 'gradient_accumulation_steps', default: 1, help: 'Batches per optimizer step.' },
  {
    ...training,
    ...text,
    name: 'mixed_precision',
    default: 'no',
    choices: ['no', 'bf16'],
    laterChoices: ['fp16'],
    help: 'Type the models are computed in; "no" is float32.',
  },
  {
    ...training,
    ...number,
    name: 'noise_offset',
    help: 'Strength of noise that is one value per picture and channel.',
  },
  {
    ...training,
    ...number,
    name: 'adaptive_noise_scale',
    help: "Added to noise_offset for each unit of the latent channel's mean; needs noise_offset.",
  },
  { ...training, ...amount, name: 'min_snr_gamma', help: 'Weights the loss by min(gamma / SNR, 1); 5 is usual.' },

  { ...output, ...text, name: 'output_dir', required: true, help: 'Folder of the files written.' },
  { ...output, ...text, name: 'output_name', default: 'last', help: 'Their name, without extension.' },
  {
    ...output,
    ...text,
    name: 'save_precision',
    choices: ['float', 'fp16', 'bf16'],
    help: 'Type of the saved tensors; as trained when not given.',
  },
  { ...output, ...count, name: 'save_every_n_epochs', help: 'Also save after every so many epochs.' },
  { ...output, ...count, name: 'save_every_n_steps', help: 'Also save after every so many optimizer steps.' },
  {
    ...output,
    ...text,
    name: 'save_model_as',
    default: 'safetensors',
    choices: ['safetensors'],
    laterChoices: ['ckpt', 'pt'],
    help: 'Format of the files.',
  },
  { ...output, ...text, name: 'training_comment', help: 'Any text, kept in the metadata of the files.' },
  { ...output, ...flag, name: 'no_metadata', help: 'Write only the metadata that other tools need to load the file.' },

  { ...preview, ...text, name: 'sample_prompts', help: 'Prompt file (.txt, .toml, .json) of preview pictures.' },
  { ...preview, ...count, name: 'sample_every_n_epochs', help: 'Draw them after every so many epochs.' },
  {
    ...preview,
    ...count,
    name: 'sample_every_n_steps',
    help: 'The same in steps; not used with sample_every_n_epochs.',
  },
  {
    ...preview,
    ...text,
    name: 'sample_sampler',
    default: 'ddim',
    choices: ['ddim'],
    laterChoices: [
      ...['pndm', 'lms', 'euler', 'euler_a', 'heun', 'dpm_2', 'dpm_2_a', 'dpmsolver', 'dpmsolver++', 'dpmsingle'],
      ...['k_lms', 'k_euler', 'k_euler_a', 'k_dpm_2', 'k_dpm_2_a'],
    ],
    help: 'Sampler of preview pictures.',
  },

  { ...logging, ...text, name: 'logging_dir', help: 'Write TensorBoard event files under this folder.' },
  {
    ...logging,
    ...text,
    name: 'log_with',
    choices: ['tensorboard'],
    laterChoices: ['wandb', 'all'],
    help: 'Kind of log; tensorboard when logging_dir is given.',
  },
  { ...logging, ...text, name: 'log_prefix', help: "Put before the time in the name of the log's folder." },
  { ...logging, ...text, name: 'log_tracker_name', default: 'network_train', help: "Name of the log's inner folder." },

  { ...hint, ...flag, name: 'mem_eff_attn', help: 'Attention is always memory-efficient here.' },
  { ...hint, ...flag, name: 'xformers', help: 'Attention is always memory-efficient here.' },
  { ...hint, ...flag, name: 'sdpa', help: 'Attention is always memory-efficient here.' },
  { ...hint, ...flag, name: 'lowram', help: 'Models are read straight to where they are used.' },
  {
    ...hint,
    ...integer,
    name: 'max_data_loader_n_workers',
    default: 8,
    help: 'Pictures are decoded on their own threads.',
  },
  { ...hint, ...flag, name: 'persistent_data_loader_workers', help: 'Pictures are decoded on their own threads.' },
] as const satisfies readonly TrainOption[]
