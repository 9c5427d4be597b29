/** The configuration files of a diffusers folder, read and checked. `diffusersConfigText.ts` writes them. */
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { describeJson, type JsonObject } from '../io/jsonFile.ts'
import type { ClipTextConfig } from '../models/clip/config.ts'
import type {
  ModelOrigin,
  PredictionType,
  StableDiffusionConfig,
  UNetConfig,
  VaeConfig,
} from '../models/stableDiffusion/config.ts'
import { CheckpointError } from '../util/errors.ts'
import { ConfigReader } from './configReader.ts'
import {
  foreignFolders,
  inputChannelMeanings,
  pipelineClasses,
  pipelineFamilies,
  textSettings,
  unetKeys,
  unetSettings,
  vaeSettings,
} from './diffusersSettings.ts'
import { readTokenizerFiles } from './tokenizerFiles.ts'

/** Bounds of sizes, far above those of any model: what is larger is a damaged or hostile file. */
const most = { levels: 8, layers: 64, channels: 1 << 16, vocabulary: 1 << 22 } as const

/** Files of the folder that {@link ModelOrigin} keeps, by their paths. */
export const configPaths = {
  unet: 'unet/config.json',
  textEncoder: 'text_encoder/config.json',
  vae: 'vae/config.json',
  scheduler: 'scheduler/scheduler_config.json',
} as const

export interface ReadDiffusersConfigOptions {
  /** What the U-Net predicts when the folder has no scheduler that says so; ignored where it has one. */
  readonly predictionType?: PredictionType | undefined
}

/**
 * Reads what a diffusers folder says about its model, and refuses what would compute something else than the code here:
 * other families by their name, other settings by their key. No weights are read.
 *
 * A folder without `model_index.json` is taken for Stable Diffusion. Without a scheduler, 1.x models are taken to predict
 * noise (`epsilon`), as all published ones do; of 2.x there are both kinds, so `predictionType` has to say which. What was
 * assumed is in `origin.notes`, and `origin.predictionTypeFrom` tells whether the folder said it.
 *
 * @returns the configuration; its `origin` holds the files that {@link saveDiffusersFolder} writes back
 * @throws IoError or CheckpointError naming the file and the key
 */
export async function readDiffusersConfig(
  folder: string,
  options: ReadDiffusersConfigOptions = {},
): Promise<StableDiffusionConfig> {
  await expectPipeline(folder)
  const [unetReader, textReader, vaeReader, scheduler, tokenizer] = await Promise.all([
    ConfigReader.open(join(folder, configPaths.unet)),
    ConfigReader.open(join(folder, configPaths.textEncoder)),
    ConfigReader.open(join(folder, configPaths.vae)),
    openOptional(join(folder, configPaths.scheduler)),
    readTokenizerFiles(join(folder, 'tokenizer')),
  ])
  const [unet, textEncoder, vae] = [readUNet(unetReader), readText(textReader), readVae(vaeReader)]
  if (unet.inChannels !== vae.latentChannels || unet.outChannels !== vae.latentChannels)
    throw refuseChannels(unetReader, unet, vae)
  if (unet.crossAttentionDim !== textEncoder.hiddenSize)
    throw unetReader.refuse(
      'cross_attention_dim',
      `the "hidden_size" of ${configPaths.textEncoder}, ${textEncoder.hiddenSize}`,
    )
  const version = textEncoder.activation === 'gelu' ? 2 : 1
  const unknown = unetReader.unknownKeys(new Set([...unetKeys, ...Object.keys(unetSettings)]))
  const notes = unknown.map((key) => `${unetReader.path}: "${key}" is not known here and was ignored`)
  const predictionType =
    scheduler === null
      ? assumedPrediction(folder, version, options.predictionType, notes)
      : readScheduler(scheduler, notes)
  const configs = new Map<string, JsonObject>([
    [configPaths.unet, unetReader.values],
    [configPaths.textEncoder, textReader.values],
    [configPaths.vae, vaeReader.values],
  ])
  if (scheduler !== null) configs.set(configPaths.scheduler, scheduler.values)
  const predictionTypeFrom =
    scheduler !== null ? 'scheduler' : options.predictionType === undefined ? 'assumed' : 'caller'
  const origin: ModelOrigin = { folder, predictionTypeFrom, notes, configs, tokenizer }
  return { name: folder, version, predictionType, unet, textEncoder, vae, origin }
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  )
}

async function openOptional(path: string): Promise<ConfigReader | null> {
  return (await exists(path)) ? ConfigReader.open(path) : null
}

/** Refuses folders of other families, by their index or, without one, by the components they have. */
async function expectPipeline(folder: string): Promise<void> {
  const expected = 'expected Stable Diffusion 1.x or 2.x'
  const index = await openOptional(join(folder, 'model_index.json'))
  const name = index?.values.get('_class_name')
  if (index !== null && typeof name === 'string' && !pipelineClasses.includes(name)) {
    const family = pipelineFamilies.find(([prefix]) => name.startsWith(prefix))?.[1]
    const found = family === undefined ? `a pipeline "${name}"` : `${family} ("${name}")`
    throw new CheckpointError(index.path, `${expected}, found ${found}, which is not supported`)
  }
  if (index !== null && name !== undefined && typeof name !== 'string') throw index.refuse('_class_name', 'a text')
  for (const [component, family] of Object.entries(foreignFolders))
    if (await exists(join(folder, component)))
      throw new CheckpointError(folder, `${expected}, found a folder "${component}": this is ${family}, not supported`)
}

function readUNet(reader: ConfigReader): UNetConfig {
  reader.expectFixed(unetSettings)
  const blockOutChannels = reader.counts('block_out_channels', most.levels, most.channels)
  const levels = blockOutChannels.length
  reader.expectList('down_block_types', unetBlockTypes(levels, 'Down'))
  reader.expectList('up_block_types', unetBlockTypes(levels, 'Up'))
  reader.boolean('upcast_attention', false)
  // Despite its name the number of heads.
  const heads = Array.isArray(reader.values.get('attention_head_dim'))
    ? reader.counts('attention_head_dim', levels, most.channels)
    : blockOutChannels.map(() => reader.count('attention_head_dim', most.channels, 8))
  if (heads.length !== levels || heads.some((count, level) => blockOutChannels[level]! % count !== 0))
    throw reader.refuse(
      'attention_head_dim',
      `the number of heads of each level, dividing its channels ${describeJson(blockOutChannels)}`,
    )
  const groups = groupsOf(reader, blockOutChannels)
  return {
    inChannels: reader.count('in_channels', most.channels, 4),
    outChannels: reader.count('out_channels', most.channels, 4),
    blockOutChannels,
    layersPerBlock: reader.count('layers_per_block', most.layers, 2),
    heads,
    crossAttentionDim: reader.count('cross_attention_dim', most.channels),
    groups,
    linearProjection: reader.boolean('use_linear_projection', false),
  }
}

/** The types of a U-Net's levels in the order of the file: all have attention but the innermost. */
export function unetBlockTypes(levels: number, direction: 'Down' | 'Up'): string[] {
  const types = [...Array<string>(levels - 1).fill(`CrossAttn${direction}Block2D`), `${direction}Block2D`]
  return direction === 'Down' ? types : types.reverse()
}

function groupsOf(reader: ConfigReader, channels: readonly number[]): number {
  const groups = reader.count('norm_num_groups', most.channels, 32)
  if (channels.some((count) => count % groups !== 0))
    throw reader.refuse('norm_num_groups', `a divisor of all channels ${describeJson(channels)}`)
  return groups
}

function refuseChannels(reader: ConfigReader, unet: UNetConfig, vae: VaeConfig): CheckpointError {
  const key = unet.inChannels !== vae.latentChannels ? 'in_channels' : 'out_channels'
  const meaning = key === 'in_channels' ? inputChannelMeanings[unet.inChannels] : undefined
  const expected = `${vae.latentChannels}, the channels of the latents`
  return reader.refuse(key, meaning === undefined ? expected : `${expected} (${meaning}, which is not supported)`)
}

function readText(reader: ConfigReader): ClipTextConfig {
  reader.expectFixed(textSettings)
  const activation = reader.oneOf('hidden_act', ['quick_gelu', 'gelu'], 'quick_gelu')
  const hiddenSize = reader.count('hidden_size', most.channels)
  const heads = reader.count('num_attention_heads', most.channels)
  if (hiddenSize % heads !== 0) throw reader.refuse('num_attention_heads', `a divisor of "hidden_size", ${hiddenSize}`)
  return {
    vocabSize: reader.count('vocab_size', most.vocabulary, 49408),
    hiddenSize,
    intermediateSize: reader.count('intermediate_size', most.channels),
    layers: reader.count('num_hidden_layers', most.layers),
    heads,
    positions: reader.count('max_position_embeddings', most.channels, 77),
    activation: activation === 'gelu' ? 'gelu' : 'quickGelu',
  }
}

function readVae(reader: ConfigReader): VaeConfig {
  reader.expectFixed(vaeSettings)
  const blockOutChannels = reader.counts('block_out_channels', most.levels, most.channels)
  reader.expectList('down_block_types', Array(blockOutChannels.length).fill('DownEncoderBlock2D'))
  reader.expectList('up_block_types', Array(blockOutChannels.length).fill('UpDecoderBlock2D'))
  const scalingFactor = reader.number('scaling_factor', 0.18215)
  if (!(scalingFactor > 0)) throw reader.refuse('scaling_factor', 'above 0')
  return {
    blockOutChannels,
    layersPerBlock: reader.count('layers_per_block', most.layers, 2),
    latentChannels: reader.count('latent_channels', most.channels, 4),
    groups: groupsOf(reader, blockOutChannels),
    scalingFactor,
  }
}

/** The noise schedule of trainings and previews; a scheduler that differs is kept, and noted. */
const trainedSchedule: Readonly<Record<string, unknown>> = {
  beta_start: 0.00085,
  beta_end: 0.012,
  beta_schedule: 'scaled_linear',
  num_train_timesteps: 1000,
  trained_betas: null,
}

function readScheduler(reader: ConfigReader, notes: string[]): PredictionType {
  for (const [key, value] of Object.entries(trainedSchedule)) {
    const found = reader.values.get(key)
    if (found !== undefined && found !== value)
      notes.push(`${reader.path}: "${key}" is ${describeJson(found)}; training uses ${describeJson(value)}`)
  }
  return reader.oneOf('prediction_type', ['epsilon', 'v_prediction'], 'epsilon')
}

function assumedPrediction(
  folder: string,
  version: 1 | 2,
  given: PredictionType | undefined,
  notes: string[],
): PredictionType {
  if (given !== undefined) return given
  const missing = `there is no ${configPaths.scheduler}`
  if (version === 2)
    throw new CheckpointError(
      folder,
      `${missing}, and Stable Diffusion 2.x has models that predict noise (epsilon) and models that predict velocity ` +
        '(v_prediction); copy that file too, or say which one this is',
    )
  notes.push(`${folder}: ${missing}; the model is taken to predict noise (epsilon), as Stable Diffusion 1.x does`)
  return 'epsilon'
}
