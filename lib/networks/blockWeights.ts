/**
 * Learning-rate weights by block of the U-Net: 12 down, 1 middle, 12 up. Blocks are counted as in checkpoints of the original layout:
 * 0 to 11 input blocks (0 has no LoRA), 12 the middle, 13 to 24 output blocks.
 */
import { ConfigError } from '../util/errors.ts'
import { didYouMean } from '../util/nearest.ts'

const half = 12

/** Blocks of a U-Net that have ranks and rates of their own. */
export const BLOCK_COUNT = 2 * half + 1

/** As `--network_args` has them. */
export interface BlockWeightTexts {
  readonly down_lr_weight?: string
  readonly mid_lr_weight?: string
  readonly up_lr_weight?: string
  readonly block_lr_zero_threshold?: string
}

/** The weight of each of the 25 blocks. */
export type BlockWeights = readonly number[]

const last = half - 1
const presets: Readonly<Record<string, (i: number) => number>> = {
  sine: (i) => Math.sin(((Math.PI / 2) * i) / last),
  cosine: (i) => Math.sin(((Math.PI / 2) * (last - i)) / last),
  linear: (i) => i / last,
  reverse_linear: (i) => (last - i) / last,
  zeros: () => 0,
}

/**
 * Reads block weights: for `down` and `up` 12 numbers with commas between them (an empty one is 0; missing ones are 1, and those
 * beyond the twelfth are left out) or a preset `name+base`; for `mid` one number. A weight of at most the threshold is 0.
 *
 * @returns null when none of the weights is given
 * @throws ConfigError for texts that are neither, weights below 0 and all weights 0
 */
export function readBlockWeights(texts: BlockWeightTexts): BlockWeights | null {
  const { down_lr_weight: down, mid_lr_weight: mid, up_lr_weight: up, block_lr_zero_threshold: limit } = texts
  if (down === undefined && mid === undefined && up === undefined) return null
  const threshold = limit === undefined ? 0 : readWeight('block_lr_zero_threshold', limit)
  const weights = [
    ...readHalf('down_lr_weight', down),
    mid === undefined ? 1 : readWeight('mid_lr_weight', mid),
    ...readHalf('up_lr_weight', up),
  ].map((weight) => (weight <= threshold ? 0 : weight))
  if (weights.slice(1).every((weight) => weight === 0))
    throw new ConfigError('--network_args: every block has the weight 0, which leaves nothing of the U-Net to train')
  return weights
}

function readHalf(name: string, text: string | undefined): number[] {
  if (text === undefined) return new Array<number>(half).fill(1)
  if (text.includes(',')) {
    const weights = text.split(',').map((part) => (part.trim() === '' ? 0 : readWeight(name, part)))
    return Array.from({ length: half }, (_, i) => weights[i] ?? 1)
  }
  const [preset = '', base = '0', ...more] = text.split('+').map((part) => part.trim())
  const names = Object.keys(presets)
  const shape = Object.hasOwn(presets, preset) ? presets[preset] : undefined
  if (shape === undefined || more.length > 0)
    throw new ConfigError(
      `--network_args: ${name} must be 12 numbers with commas, or one of ${names.join(', ')}, perhaps with +base, found ${JSON.stringify(text)}.${didYouMean(preset, names)}`,
    )
  const added = readWeight(name, base)
  return Array.from({ length: half }, (_, i) => shape(i) + added)
}

function readWeight(name: string, text: string): number {
  const weight = text.trim() === '' ? Number.NaN : Number(text)
  if (!(weight >= 0 && weight < Number.POSITIVE_INFINITY))
    throw new ConfigError(`--network_args: ${name} must hold numbers of at least 0, found ${JSON.stringify(text)}`)
  return weight
}

/** The block of a LoRA module by its name in files, 0 to 24; null for the text encoder and what is outside the blocks. */
export function blockOf(name: string): number | null {
  if (!name.startsWith('lora_unet_')) return null
  if (name.includes('_mid_block_')) return half
  const match = /_(down|up)_blocks_(\d+)_(resnets|attentions|upsamplers|downsamplers)_(\d+)/.exec(name)
  if (match === null) return null
  const [, side, block, kind, index] = match
  const inner = 3 * Number(block) + (kind === 'resnets' || kind === 'attentions' ? Number(index) : 2)
  return side === 'down' ? 1 + inner : half + 1 + inner
}
