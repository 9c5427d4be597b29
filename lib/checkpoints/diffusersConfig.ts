/** The configuration files of a diffusers folder, to and from StableDiffusionConfig. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { toIoError } from '../io/systemError.ts'
import type { ClipTextConfig } from '../models/clip/config.ts'
import type { PredictionType, StableDiffusionConfig, UNetConfig, VaeConfig } from '../models/stableDiffusion/config.ts'
import { CheckpointError } from '../util/errors.ts'

type Json = Readonly<Record<string, unknown>>

async function readJson(path: string): Promise<Json> {
  let text: string
  try {
    text = await readFile(path, 'utf8')
  } catch (error) {
    throw toIoError(path, 'read', error)
  }
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    throw new CheckpointError(path, `expected a JSON object (${(error as Error).message})`, { cause: error })
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new CheckpointError(path, `expected a JSON object, found ${text.slice(0, 40)}`)
  return value as Json
}

/** Typed access to one file's values; every refusal names file and key. */
class Reader {
  constructor(
    readonly path: string,
    readonly values: Json,
  ) {}

  number(key: string, fallback?: number): number {
    const value = this.values[key] ?? fallback
    if (typeof value !== 'number') throw this.refuse(key, 'a number', value)
    return value
  }

  numbers(key: string): number[] {
    const value = this.values[key]
    if (!Array.isArray(value) || !value.every((item) => typeof item === 'number'))
      throw this.refuse(key, 'a list of numbers', value)
    return value
  }

  refuse(key: string, expected: string, found: unknown): CheckpointError {
    return new CheckpointError(this.path, `"${key}" must be ${expected}, found ${JSON.stringify(found)}`)
  }
}

function readUNet({ path, values }: Reader): UNetConfig {
  const reader = new Reader(path, values)
  const blockOutChannels = reader.numbers('block_out_channels')
  const levels = blockOutChannels.length
  const expected = [...Array<string>(levels - 1).fill('CrossAttnDownBlock2D'), 'DownBlock2D']
  const types = values.down_block_types ?? expected
  if (JSON.stringify(types) !== JSON.stringify(expected))
    throw reader.refuse('down_block_types', expected.join(', '), types)
  const heads = values.attention_head_dim // despite its name the number of heads
  return {
    inChannels: reader.number('in_channels', 4),
    outChannels: reader.number('out_channels', 4),
    blockOutChannels,
    layersPerBlock: reader.number('layers_per_block', 2),
    heads: Array.isArray(heads)
      ? reader.numbers('attention_head_dim')
      : blockOutChannels.map(() => reader.number('attention_head_dim', 8)),
    crossAttentionDim: reader.number('cross_attention_dim'),
    groups: reader.number('norm_num_groups', 32),
    linearProjection: values.use_linear_projection === true,
  }
}

function readText({ path, values }: Reader): ClipTextConfig {
  const reader = new Reader(path, values)
  const activation = values.hidden_act ?? 'quick_gelu'
  if (activation !== 'quick_gelu' && activation !== 'gelu')
    throw reader.refuse('hidden_act', 'quick_gelu or gelu', activation)
  return {
    vocabSize: reader.number('vocab_size', 49408),
    hiddenSize: reader.number('hidden_size'),
    intermediateSize: reader.number('intermediate_size'),
    layers: reader.number('num_hidden_layers'),
    heads: reader.number('num_attention_heads'),
    positions: reader.number('max_position_embeddings', 77),
    activation: activation === 'gelu' ? 'gelu' : 'quickGelu',
  }
}

function readVae(reader: Reader): VaeConfig {
  return {
    blockOutChannels: reader.numbers('block_out_channels'),
    layersPerBlock: reader.number('layers_per_block', 2),
    latentChannels: reader.number('latent_channels', 4),
    groups: reader.number('norm_num_groups', 32),
    scalingFactor: reader.number('scaling_factor', 0.18215),
  }
}

/** @throws IoError or CheckpointError naming the file and the key */
export async function readDiffusersConfig(folder: string): Promise<StableDiffusionConfig> {
  const open = async (...parts: string[]): Promise<Reader> => {
    const path = join(folder, ...parts)
    return new Reader(path, await readJson(path))
  }
  const [unet, text, vae, scheduler] = await Promise.all([
    open('unet', 'config.json'),
    open('text_encoder', 'config.json'),
    open('vae', 'config.json'),
    open('scheduler', 'scheduler_config.json'),
  ])
  const predictionType = (scheduler.values.prediction_type ?? 'epsilon') as PredictionType
  if (predictionType !== 'epsilon' && predictionType !== 'v_prediction')
    throw scheduler.refuse('prediction_type', 'epsilon or v_prediction', predictionType)
  const textEncoder = readText(text)
  const version = textEncoder.activation === 'gelu' ? 2 : 1
  return { name: folder, version, predictionType, unet: readUNet(unet), textEncoder, vae: readVae(vae) }
}

/** The text of every configuration file of a folder, by its path inside it. */
export function diffusersConfigFiles(config: StableDiffusionConfig): Readonly<Record<string, string>> {
  const { unet, textEncoder, vae } = config
  const levels = unet.blockOutChannels.length
  const attention = (type: string, plain: string): string[] => [...Array<string>(levels - 1).fill(type), plain]
  const files: Readonly<Record<string, Json>> = {
    'unet/config.json': {
      _class_name: 'UNet2DConditionModel',
      act_fn: 'silu',
      attention_head_dim: new Set(unet.heads).size === 1 ? unet.heads[0] : unet.heads,
      block_out_channels: unet.blockOutChannels,
      cross_attention_dim: unet.crossAttentionDim,
      down_block_types: attention('CrossAttnDownBlock2D', 'DownBlock2D'),
      flip_sin_to_cos: true,
      freq_shift: 0,
      in_channels: unet.inChannels,
      layers_per_block: unet.layersPerBlock,
      norm_eps: 1e-5,
      norm_num_groups: unet.groups,
      out_channels: unet.outChannels,
      sample_size: 64,
      up_block_types: attention('CrossAttnUpBlock2D', 'UpBlock2D').reverse(),
      use_linear_projection: unet.linearProjection,
    },
    'text_encoder/config.json': {
      architectures: ['CLIPTextModel'],
      hidden_act: textEncoder.activation === 'gelu' ? 'gelu' : 'quick_gelu',
      hidden_size: textEncoder.hiddenSize,
      intermediate_size: textEncoder.intermediateSize,
      layer_norm_eps: 1e-5,
      max_position_embeddings: textEncoder.positions,
      model_type: 'clip_text_model',
      num_attention_heads: textEncoder.heads,
      num_hidden_layers: textEncoder.layers,
      vocab_size: textEncoder.vocabSize,
    },
    'vae/config.json': {
      _class_name: 'AutoencoderKL',
      act_fn: 'silu',
      block_out_channels: vae.blockOutChannels,
      down_block_types: vae.blockOutChannels.map(() => 'DownEncoderBlock2D'),
      in_channels: 3,
      latent_channels: vae.latentChannels,
      layers_per_block: vae.layersPerBlock,
      norm_num_groups: vae.groups,
      out_channels: 3,
      scaling_factor: vae.scalingFactor,
      up_block_types: vae.blockOutChannels.map(() => 'UpDecoderBlock2D'),
    },
    'scheduler/scheduler_config.json': {
      _class_name: 'DDIMScheduler',
      beta_end: 0.012,
      beta_schedule: 'scaled_linear',
      beta_start: 0.00085,
      clip_sample: false,
      num_train_timesteps: 1000,
      prediction_type: config.predictionType,
      set_alpha_to_one: false,
      steps_offset: 1,
    },
    'model_index.json': {
      _class_name: 'StableDiffusionPipeline',
      scheduler: ['diffusers', 'DDIMScheduler'],
      text_encoder: ['transformers', 'CLIPTextModel'],
      tokenizer: ['transformers', 'CLIPTokenizer'],
      unet: ['diffusers', 'UNet2DConditionModel'],
      vae: ['diffusers', 'AutoencoderKL'],
    },
  }
  return Object.fromEntries(Object.entries(files).map(([path, value]) => [path, `${JSON.stringify(value, null, 2)}\n`]))
}
