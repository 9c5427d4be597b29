/** Stable Diffusion as sizes: the real 1.x and 2.x and tiny ones of the same structure are the same code. */
import type { PredictionType } from '../../diffusion/predictionType.ts'
import { type ClipTextConfig, clipL, openClipH, tinyClipSd1, tinyClipSd2 } from '../clip/config.ts'

export interface UNetConfig {
  readonly inChannels: number
  readonly outChannels: number
  /** Channels of each level, outermost first. The last level has no attention. */
  readonly blockOutChannels: readonly number[]
  /** Resnets of a down level; an up level has one more. */
  readonly layersPerBlock: number
  /** Attention heads of each level. */
  readonly heads: readonly number[]
  readonly crossAttentionDim: number
  readonly groups: number
  /** proj_in and proj_out are stored as projections (2.x) or as 1x1 convolutions (1.x). */
  readonly linearProjection: boolean
}

export interface VaeConfig {
  readonly blockOutChannels: readonly number[]
  /** Resnets of an encoder level; a decoder level has one more. */
  readonly layersPerBlock: number
  readonly latentChannels: number
  readonly groups: number
  /** Latents are multiplied by this for the U-Net and divided by it for the decoder. */
  readonly scalingFactor: number
}

export type { PredictionType }

export interface StableDiffusionConfig {
  readonly name: string
  readonly version: 1 | 2
  readonly predictionType: PredictionType
  readonly unet: UNetConfig
  readonly textEncoder: ClipTextConfig
  readonly vae: VaeConfig
  /** Absent where the model did not come from a diffusers folder. */
  readonly origin?: ModelOrigin | undefined
}

/** What stood beside the weights in a diffusers folder. It changes no computation here; saving writes it back. */
export interface ModelOrigin {
  readonly folder: string
  /** Who said what the U-Net predicts: the folder's scheduler, the caller of the loader, or nobody (noise is assumed). */
  readonly predictionTypeFrom: 'scheduler' | 'caller' | 'assumed'
  /** What a user should know about the folder: assumptions, settings that were ignored. */
  readonly notes: readonly string[]
  /** Parsed configuration files by their paths in the folder. */
  readonly configs: ReadonlyMap<string, ReadonlyMap<string, unknown>>
  /** Files of the tokenizer by name; empty where the folder has none. */
  readonly tokenizer: ReadonlyMap<string, Uint8Array>
}

const vae: VaeConfig = {
  blockOutChannels: [128, 256, 512, 512],
  layersPerBlock: 2,
  latentChannels: 4,
  groups: 32,
  scalingFactor: 0.18215,
}

export const sd1: StableDiffusionConfig = {
  name: 'Stable Diffusion 1.x',
  version: 1,
  predictionType: 'epsilon',
  unet: {
    inChannels: 4,
    outChannels: 4,
    blockOutChannels: [320, 640, 1280, 1280],
    layersPerBlock: 2,
    heads: [8, 8, 8, 8],
    crossAttentionDim: 768,
    groups: 32,
    linearProjection: false,
  },
  textEncoder: clipL,
  vae,
}

export const sd2: StableDiffusionConfig = {
  ...sd1,
  name: 'Stable Diffusion 2.x',
  version: 2,
  unet: { ...sd1.unet, heads: [5, 10, 20, 20], crossAttentionDim: 1024, linearProjection: true },
  textEncoder: openClipH,
}

const tinyVae: VaeConfig = { ...vae, blockOutChannels: [16, 32, 32, 32], groups: 8 }

export const tinySd1: StableDiffusionConfig = {
  ...sd1,
  name: 'tiny Stable Diffusion 1',
  unet: { ...sd1.unet, blockOutChannels: [32, 64, 64, 64], heads: [4, 4, 4, 4], crossAttentionDim: 32, groups: 8 },
  textEncoder: tinyClipSd1,
  vae: tinyVae,
}

export const tinySd2: StableDiffusionConfig = {
  ...sd2,
  name: 'tiny Stable Diffusion 2',
  unet: { ...sd2.unet, blockOutChannels: [32, 64, 64, 64], heads: [2, 4, 4, 4], crossAttentionDim: 48, groups: 8 },
  textEncoder: tinyClipSd2,
  vae: tinyVae,
}
