/** The configuration files of a diffusers folder, written. `diffusersConfig.ts` reads them. */
import type { StableDiffusionConfig } from '../models/stableDiffusion/config.ts'
import { pythonFloatRepr } from '../networks/pythonText.ts'
import { configPaths, unetBlockTypes } from './diffusersConfig.ts'

type Values = Readonly<Record<string, unknown>>

/** The versions whose files these are, and which open them (scripts/reference/check_folder.py). */
const DIFFUSERS_VERSION = '0.42.1'
const TRANSFORMERS_VERSION = '5.23.0'

/** Keys whose numbers are floats even when whole: newer libraries refuse `0` where they want `0.0`. */
const floatKeys: ReadonlySet<string> = new Set([
  'attention_dropout',
  'beta_end',
  'beta_start',
  'clip_sample_range',
  'dropout',
  'dynamic_thresholding_ratio',
  'eta',
  'initializer_factor',
  'initializer_range',
  'layer_norm_eps',
  'norm_eps',
  'resnet_out_scale_factor',
  'sample_max_value',
  'scaling_factor',
  'shift_factor',
])

/** Keys that say where a copy of the model once was, and an older name of `torch_dtype`'s. */
const droppedKeys: readonly string[] = ['_name_or_path', 'dtype', 'name_or_path']

export interface ConfigTextOptions {
  /** Type the text encoder's weights are written in, as its configuration names it: `'float32'`. */
  readonly textDType: 'float32' | 'float16' | 'bfloat16'
  /** Replaces scheduler/scheduler_config.json, which is otherwise the source's or, without a source, DDIM's. */
  readonly schedulerConfig?: Values | undefined
}

/**
 * The text of every configuration file of a folder, by its path inside it: two spaces deep, keys sorted, as the libraries
 * write them. Values that the source folder had beyond the sizes are kept (`upcast_attention`, `sample_size`,
 * `projection_dim`, the whole scheduler); what the U-Net predicts is always the model's.
 */
export function diffusersConfigFiles(
  config: StableDiffusionConfig,
  options: ConfigTextOptions,
): Readonly<Record<string, string>> {
  const source = (path: string): Values => Object.fromEntries(config.origin?.configs.get(path) ?? [])
  const merged = (path: string, defaults: Values, sizes: Values): Values => ({
    ...defaults,
    ...source(path),
    ...sizes,
  })
  const hasScheduler = config.origin?.configs.has(configPaths.scheduler) === true
  const scheduler: Values = {
    _class_name: 'DDIMScheduler',
    ...(options.schedulerConfig ?? (hasScheduler ? source(configPaths.scheduler) : defaultScheduler)),
    prediction_type: config.predictionType,
  }
  const files: Readonly<Record<string, Values>> = {
    [configPaths.unet]: merged(configPaths.unet, unetDefaults(config), unetSizes(config)),
    [configPaths.textEncoder]: merged(configPaths.textEncoder, textDefaults(config), {
      ...textSizes(config),
      torch_dtype: options.textDType,
    }),
    [configPaths.vae]: merged(configPaths.vae, vaeDefaults, vaeSizes(config)),
    [configPaths.scheduler]: scheduler,
    'model_index.json': {
      _class_name: 'StableDiffusionPipeline',
      _diffusers_version: DIFFUSERS_VERSION,
      feature_extractor: [null, null],
      requires_safety_checker: null,
      safety_checker: [null, null],
      scheduler: ['diffusers', scheduler._class_name],
      text_encoder: ['transformers', 'CLIPTextModel'],
      tokenizer: ['transformers', 'CLIPTokenizer'],
      unet: ['diffusers', 'UNet2DConditionModel'],
      vae: ['diffusers', 'AutoencoderKL'],
    },
  }
  return Object.fromEntries(Object.entries(files).map(([path, values]) => [path, `${pythonJson(values)}\n`]))
}

function unetSizes({ unet, origin }: StableDiffusionConfig): Values {
  const levels = unet.blockOutChannels.length
  const listed = Array.isArray(origin?.configs.get(configPaths.unet)?.get('attention_head_dim'))
  return {
    _class_name: 'UNet2DConditionModel',
    attention_head_dim: listed || new Set(unet.heads).size > 1 ? unet.heads : unet.heads[0],
    block_out_channels: unet.blockOutChannels,
    cross_attention_dim: unet.crossAttentionDim,
    down_block_types: unetBlockTypes(levels, 'Down'),
    in_channels: unet.inChannels,
    layers_per_block: unet.layersPerBlock,
    norm_num_groups: unet.groups,
    out_channels: unet.outChannels,
    up_block_types: unetBlockTypes(levels, 'Up'),
    use_linear_projection: unet.linearProjection,
  }
}

/** 2.x models that predict velocity are made for 768 pixels, and their attention overflows float16 unless it is told not to. */
function unetDefaults({ version, predictionType }: StableDiffusionConfig): Values {
  const large = version === 2 && predictionType === 'v_prediction'
  return {
    _diffusers_version: DIFFUSERS_VERSION,
    act_fn: 'silu',
    center_input_sample: false,
    downsample_padding: 1,
    dual_cross_attention: false,
    flip_sin_to_cos: true,
    freq_shift: 0,
    mid_block_scale_factor: 1,
    norm_eps: 1e-5,
    num_class_embeds: null,
    only_cross_attention: false,
    sample_size: large ? 96 : 64,
    upcast_attention: large,
  }
}

function textSizes({ textEncoder }: StableDiffusionConfig): Values {
  return {
    hidden_act: textEncoder.activation === 'gelu' ? 'gelu' : 'quick_gelu',
    hidden_size: textEncoder.hiddenSize,
    intermediate_size: textEncoder.intermediateSize,
    max_position_embeddings: textEncoder.positions,
    num_attention_heads: textEncoder.heads,
    num_hidden_layers: textEncoder.layers,
    vocab_size: textEncoder.vocabSize,
  }
}

/** The ids of start, end and padding are the library's defaults of 2022; the tokenizer has others. */
function textDefaults({ version }: StableDiffusionConfig): Values {
  return {
    architectures: ['CLIPTextModel'],
    attention_dropout: 0,
    bos_token_id: 0,
    dropout: 0,
    eos_token_id: 2,
    initializer_factor: 1,
    initializer_range: 0.02,
    layer_norm_eps: 1e-5,
    model_type: 'clip_text_model',
    pad_token_id: 1,
    projection_dim: version === 1 ? 768 : 512,
    transformers_version: TRANSFORMERS_VERSION,
  }
}

function vaeSizes({ vae }: StableDiffusionConfig): Values {
  return {
    _class_name: 'AutoencoderKL',
    block_out_channels: vae.blockOutChannels,
    down_block_types: vae.blockOutChannels.map(() => 'DownEncoderBlock2D'),
    latent_channels: vae.latentChannels,
    layers_per_block: vae.layersPerBlock,
    norm_num_groups: vae.groups,
    scaling_factor: vae.scalingFactor,
    up_block_types: vae.blockOutChannels.map(() => 'UpDecoderBlock2D'),
  }
}

const vaeDefaults: Values = {
  _diffusers_version: DIFFUSERS_VERSION,
  act_fn: 'silu',
  in_channels: 3,
  out_channels: 3,
  sample_size: 256,
}

const defaultScheduler: Values = {
  _class_name: 'DDIMScheduler',
  _diffusers_version: DIFFUSERS_VERSION,
  beta_end: 0.012,
  beta_schedule: 'scaled_linear',
  beta_start: 0.00085,
  clip_sample: false,
  num_train_timesteps: 1000,
  set_alpha_to_one: false,
  skip_prk_steps: true,
  steps_offset: 1,
  trained_betas: null,
}

/** As Python's `json.dumps(values, indent=2, sort_keys=True)` prints them. */
function pythonJson(values: Values, depth = 1): string {
  const indent = '  '.repeat(depth)
  const close = '  '.repeat(depth - 1)
  const lines = Object.keys(values)
    .filter((key) => !droppedKeys.includes(key))
    .sort()
    .map((key) => `${indent}${JSON.stringify(key)}: ${pythonValue(values[key], floatKeys.has(key), depth)}`)
  return lines.length === 0 ? '{}' : `{\n${lines.join(',\n')}\n${close}}`
}

function pythonValue(value: unknown, isFloat: boolean, depth: number): string {
  if (typeof value === 'number') return isFloat || !Number.isInteger(value) ? pythonFloatRepr(value) : String(value)
  if (Array.isArray(value)) {
    if (value.length === 0) return '[]'
    const items = value.map((item) => `${'  '.repeat(depth + 1)}${pythonValue(item, isFloat, depth + 1)}`)
    return `[\n${items.join(',\n')}\n${'  '.repeat(depth)}]`
  }
  return typeof value === 'object' && value !== null ? pythonJson(value as Values, depth + 1) : JSON.stringify(value)
}
