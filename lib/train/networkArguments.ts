/** `--network_args` of a LoRA: rates within the network. */
import { type BlockWeights, type BlockWeightTexts, readBlockWeights } from '../networks/blockWeights.ts'
import { ConfigError } from '../util/errors.ts'
import { didYouMean } from '../util/nearest.ts'
import type { LoraPlusRatios } from './parameterGroups.ts'

export interface NetworkArguments {
  readonly blockWeights?: BlockWeights
  readonly loraPlus?: LoraPlusRatios
  /** As they were given. */
  readonly args?: Readonly<Record<string, string>>
}

const blockNames = ['down_lr_weight', 'mid_lr_weight', 'up_lr_weight', 'block_lr_zero_threshold'] as const
const ratioNames = ['loraplus_lr_ratio', 'loraplus_unet_lr_ratio', 'loraplus_text_encoder_lr_ratio'] as const
const names: readonly string[] = [...blockNames, ...ratioNames]
const laterNames: readonly string[] = [
  ...['conv_dim', 'conv_alpha', 'rank_dropout', 'module_dropout'],
  ...['block_dims', 'block_alphas', 'conv_block_dims', 'conv_block_alphas', 'unit'],
]

/** Reads `key=value` texts; the values are plain texts, not Python literals. */
export function readNetworkArguments(texts: readonly string[]): {
  readonly facts: NetworkArguments
  readonly problems: readonly string[]
} {
  const problems: string[] = []
  const args: Record<string, string> = {}
  for (const text of texts) {
    const [, name, value] = /^\s*(\w+)\s*=(.*)$/s.exec(text) ?? []
    if (name === undefined || value === undefined)
      problems.push(`--network_args must be key=value, found ${JSON.stringify(text)}`)
    else if (laterNames.includes(name))
      problems.push(`--network_args: ${name} comes with a later version of noisewright`)
    else if (!names.includes(name))
      problems.push(
        `--network_args: unknown argument "${name}"; there are ${names.join(', ')}.${didYouMean(name, names)}`,
      )
    else args[name] = value.trim()
  }
  if (Object.keys(args).length === 0) return { facts: {}, problems }
  const ratio = (name: (typeof ratioNames)[number]): number | null => {
    const text = args[name]
    if (text === undefined) return null
    const value = text === '' ? Number.NaN : Number(text)
    if (value > 0 && value < Number.POSITIVE_INFINITY) return value
    problems.push(`--network_args: ${name} must be a number above 0, found ${JSON.stringify(text)}`)
    return null
  }
  const both = ratio('loraplus_lr_ratio')
  const loraPlus = {
    unet: ratio('loraplus_unet_lr_ratio') ?? both ?? 1,
    textEncoder: ratio('loraplus_text_encoder_lr_ratio') ?? both ?? 1,
  }
  let blockWeights: BlockWeights | null = null
  try {
    blockWeights = readBlockWeights(args as BlockWeightTexts)
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    problems.push(error.message)
  }
  const plus = loraPlus.unet !== 1 || loraPlus.textEncoder !== 1
  return { facts: { args, ...(blockWeights && { blockWeights }), ...(plus && { loraPlus }) }, problems }
}
