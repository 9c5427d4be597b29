/** Typed reader of test/fixtures/models: tiny Stable Diffusion models with float64 outputs and gradients. */

import type { Digest } from './digest.ts'
import { loadFixture } from './fixtureCases.ts'
import { formulaValues } from './formula.ts'

export type TinyModelName = 'tinySd1' | 'tinySd2'

/** By parameter name of the checkpoint ('unet.conv_in.weight'), in file layout ([o, i, kh, kw]). */
export type ParameterDigests = Readonly<Record<string, Digest>>

type JsonObject = { readonly [key: string]: unknown }

/** Two captions through the text encoder. The loss is sum(lastHidden * dy), dy = '<model>/text/dy'. */
export interface TextSection {
  readonly ids: readonly (readonly number[])[]
  /** The embeddings and the output of each layer, before the final norm. */
  readonly hidden0: Digest
  readonly hidden1: Digest
  readonly hidden2: Digest
  readonly hidden3: Digest
  /** The last layer's output after the final norm. */
  readonly lastHidden: Digest
  /** The output of the last layer but one after the final norm. */
  readonly clipSkip2: Digest
  readonly gradients: ParameterDigests
}

/** Inputs '<model>/<section>/latents' and '.../context', loss sum(sample * dy). Channels last. */
export interface UnetSection {
  readonly timesteps: readonly number[]
  readonly latents: readonly number[]
  readonly context: readonly number[]
  readonly sample: Digest
  readonly dlatents: Digest
  readonly dcontext: Digest
  readonly gradients: ParameterDigests
}

interface VaeSection {
  /** Shape of '<model>/vaeEncoder/image' or '<model>/vaeDecoder/latents'. */
  readonly input: readonly number[]
  readonly dx: Digest
  readonly gradients: ParameterDigests
}

export interface LoraVariant {
  readonly prediction: 'epsilon' | 'velocity'
  readonly minSnrGamma: number | null
  readonly microBatchCount: number
  /** Each micro batch's loss before the division by the number of micro batches. */
  readonly losses: readonly number[]
  /** L2 norm over all LoRA gradients; nothing is clipped. */
  readonly gradientNorm: number
  /** By '<kohya module>.lora_down.weight' and '.lora_up.weight'. */
  readonly gradients: ParameterDigests
  /** After one AdamW step from zero state; absent where another variant already shows it. */
  readonly weights?: ParameterDigests
}

/** One step of LoRA training, text encoder and U-Net. Micro batch i: '<model>/loraStep/m<i>/latents' and '.../noise'. */
export interface LoraSection {
  readonly rank: number
  readonly alpha: number
  readonly adamW: {
    readonly learningRate: number
    readonly beta1: number
    readonly beta2: number
    readonly eps: number
    readonly weightDecay: number
  }
  readonly latents: readonly number[]
  readonly microBatches: readonly {
    readonly ids: readonly (readonly number[])[]
    readonly timesteps: readonly number[]
  }[]
  readonly variants: Readonly<Record<string, LoraVariant>>
}

/** DDIM from '<model>/ddim/latents' with '<model>/ddim/context' and '.../negativeContext'; step0 .. step6 are the latents. */
export interface DdimSection {
  readonly steps: number
  readonly guidance: number
  readonly timesteps: readonly number[]
  readonly latents: readonly number[]
  readonly context: readonly number[]
  readonly epsilon: Readonly<Record<string, Digest>>
  readonly velocity: Readonly<Record<string, Digest>>
}

export interface ModelFixture {
  readonly name: TinyModelName
  /** The diffusers and transformers configurations. */
  readonly config: { readonly unet: JsonObject; readonly text_encoder: JsonObject; readonly vae: JsonObject }
  readonly text: TextSection
  readonly unet: UnetSection
  /** As `unet` at a width that is not a multiple of 8, where upsampling has to resize to the skip tensor. */
  readonly unetOddWidth: UnetSection
  readonly vaeEncoder: VaeSection & { readonly moments: Digest }
  readonly vaeDecoder: VaeSection & { readonly image: Digest }
  readonly loraStep: LoraSection
  /** tinySd1 only. */
  readonly ddim?: DdimSection
}

/** Reads a model fixture and gives every digest its id: the path to it, '<model>/<section>/<key>'. */
export function loadModelFixture(name: TinyModelName): ModelFixture {
  const fixture = loadFixture<ModelFixture>(`models/${name}.json`)
  setIds(name, fixture)
  return fixture
}

/** Captions to token rows to hidden states, with the text encoder of a tiny model. */
export interface ConditioningFixture {
  /** Id of the padding token. */
  readonly pad: number
  readonly captions: readonly string[]
  /** By length of the token sequence. */
  readonly lengths: Readonly<Record<77 | 152 | 227, ConditioningSection>>
}

interface ConditioningSection {
  /** For each caption one, two or three rows of 77 ids. */
  readonly rows: readonly (readonly (readonly number[])[])[]
  /** Hidden states [captions, length, d] after the final norm: of the last layer, of the one before it, of the one before that. */
  readonly skip1: Digest
  readonly skip2: Digest
  readonly skip3: Digest
}

/** Reads a conditioning fixture; the ids of its digests are '<model>/<length>/skip<n>'. */
export function loadConditioningFixture(name: TinyModelName): ConditioningFixture {
  const fixture = loadFixture<ConditioningFixture>(`conditioning/${name}.json`)
  setIds(name, fixture.lengths)
  return fixture
}

/** Gives every digest below `value` its id: the path to it. */
export function setIds(path: string, value: unknown): void {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return
  if ('rms' in value && 'shape' in value) {
    Object.assign(value, { id: path })
    return
  }
  for (const [key, child] of Object.entries(value)) setIds(`${path}/${key}`, child)
}

/** Shapes of all parameters of a model by checkpoint name, in file layout. */
export function parameterShapes(fixture: ModelFixture): Map<string, readonly number[]> {
  const { text, unet, vaeEncoder, vaeDecoder } = fixture
  const digests = { ...text.gradients, ...unet.gradients, ...vaeEncoder.gradients, ...vaeDecoder.gradients }
  return new Map(Object.entries(digests).map(([key, { shape }]) => [key, shape]))
}

/**
 * The initial LoRA weights of a fixture's training step, in file layout: down uniform with bound 1 / sqrt(in), up uniform
 * with bound 0.05 (not zero, so that gradients reach the down matrices).
 */
export function loraValues(name: string, shape: readonly number[]): Float32Array {
  const scale = name.endsWith('.lora_down.weight') ? 1 / Math.sqrt(shape[1]!) : 0.05
  return formulaValues(name, { shape, kind: 'uniform', scale })
}
