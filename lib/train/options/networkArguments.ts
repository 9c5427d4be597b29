/** `--network_args`: what a network of some kind is told, and rates within it. */
import { type BlockWeights, type BlockWeightTexts, readBlockWeights } from '../../networks/blockWeights.ts'
import type { NetworkChoice } from '../../networks/createNetwork.ts'
import { ConfigError } from '../../util/errors.ts'
import { didYouMean } from '../../util/nearest.ts'
import type { LoraPlusRatios } from '../methods/parameterGroups.ts'
import { ArgumentTexts } from './argumentTexts.ts'
import { lycorisNames, readLycorisArguments } from './lycorisArguments.ts'

export interface NetworkArguments {
  readonly blockWeights?: BlockWeights
  readonly loraPlus?: LoraPlusRatios
  /** As they were given. */
  readonly args?: Readonly<Record<string, string>>
  /** Absent for LoRA without arguments, and for a class of the user's own, which reads `args` itself. */
  readonly choice?: NetworkChoice
}

export interface NetworkArgumentsContext {
  /** `--network_module`. Default `networks.lora`. */
  readonly module?: string
  /** `--network_dim`, `--network_dropout`: null, not given. */
  readonly dim?: number | null
  readonly dropout?: number | null
}

/** What `--network_module` takes besides classes of the user's own. */
export const networkModules = ['networks.lora', 'networks.dylora', 'lycoris.kohya'] as const

const blockNames = ['down_lr_weight', 'mid_lr_weight', 'up_lr_weight', 'block_lr_zero_threshold'] as const
const ratioNames = ['loraplus_lr_ratio', 'loraplus_unet_lr_ratio', 'loraplus_text_encoder_lr_ratio'] as const
const loraNames = [
  ...['conv_dim', 'conv_alpha', 'rank_dropout', 'module_dropout'],
  ...['block_dims', 'block_alphas', 'conv_block_dims', 'conv_block_alphas'],
  ...blockNames,
  ...ratioNames,
]

/** The arguments of each module. */
const namesOf: Readonly<Record<string, readonly string[]>> = {
  'networks.lora': loraNames,
  'networks.dylora': ['unit', 'conv_dim', 'conv_alpha', ...ratioNames],
  'lycoris.kohya': [...lycorisNames, ...ratioNames],
}

/** Reads `key=value` texts; the values are plain texts, not Python literals. */
export function readNetworkArguments(
  texts: readonly string[],
  { module = 'networks.lora', dim = null, dropout = null }: NetworkArgumentsContext = {},
): { readonly facts: NetworkArguments; readonly problems: readonly string[] } {
  const problems: string[] = []
  const args: Record<string, string> = {}
  const names = namesOf[module]
  for (const text of texts) {
    const [, name, value] = /^\s*(\w+)\s*=(.*)$/s.exec(text) ?? []
    if (name === undefined || value === undefined)
      problems.push(`--network_args must be key=value, found ${JSON.stringify(text)}`)
    else if (name in args) problems.push(`--network_args: ${name} is given twice`)
    else if (names !== undefined && !names.includes(name))
      problems.push(
        `--network_args: unknown argument "${name}"; ${module} has ${names.join(', ')}.${didYouMean(name, names)}`,
      )
    else args[name] = value.trim()
  }
  const given = Object.keys(args).length > 0 ? { args } : {}
  if (names === undefined || (module === 'networks.lora' && !given.args)) return { facts: given, problems }
  const reader = new ArgumentTexts(args, problems)
  const blockWeights = module === 'networks.lora' ? blockWeightsOf(args, problems) : null
  const loraPlus = loraPlusOf(reader)
  const choice =
    module === 'networks.lora'
      ? loraChoice(reader, blockWeights !== null)
      : module === 'networks.dylora'
        ? dyLoraChoice(reader, dim, dropout)
        : readLycorisArguments(reader, dropout)
  if (choice.kind === 'loha' || choice.kind === 'lokr')
    for (const name of ratioNames) reader.needs(name, 'lora_up matrices, which only LoRA has', false)
  return { facts: { ...given, ...(blockWeights && { blockWeights }), ...(loraPlus && { loraPlus }), choice }, problems }
}

function blockWeightsOf(args: BlockWeightTexts, problems: string[]): BlockWeights | null {
  try {
    return readBlockWeights(args)
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    problems.push(error.message)
    return null
  }
}

function loraPlusOf(reader: ArgumentTexts): LoraPlusRatios | null {
  const ratio = (name: (typeof ratioNames)[number]): number | null => reader.number(name, 'above 0', (x) => x > 0)
  const both = ratio('loraplus_lr_ratio')
  const unet = ratio('loraplus_unet_lr_ratio') ?? both ?? 1
  const textEncoder = ratio('loraplus_text_encoder_lr_ratio') ?? both ?? 1
  return unet === 1 && textEncoder === 1 ? null : { unet, textEncoder }
}

/** Lists by block count only where there are ranks or rates by block; what would have no effect is a problem. */
function loraChoice(reader: ArgumentTexts, hasRates: boolean): NetworkChoice {
  const blocks = {
    ranks: reader.blocks('block_dims', true),
    alphas: reader.blocks('block_alphas'),
    convRanks: reader.blocks('conv_block_dims', true),
    convAlphas: reader.blocks('conv_block_alphas'),
  }
  const convRank = reader.count('conv_dim')
  const convAlpha = reader.number('conv_alpha', 'of at least 0', (x) => x >= 0)
  const byBlock = hasRates || reader.has('block_dims')
  for (const name of ['block_alphas', 'conv_block_dims', 'conv_block_alphas'])
    if (!byBlock) reader.needs(name, 'block_dims or one of down_lr_weight, mid_lr_weight, up_lr_weight', false)
  reader.needs('conv_block_alphas', 'conv_block_dims', reader.has('conv_block_dims'))
  reader.needs('conv_alpha', 'conv_dim or conv_block_dims', reader.has('conv_dim') || reader.has('conv_block_dims'))
  const [rankDropout, moduleDropout] = [reader.share('rank_dropout'), reader.share('module_dropout')]
  const hasBlocks = Object.values(blocks).some((list) => list !== null)
  return { kind: 'lora', convRank, convAlpha, rankDropout, moduleDropout, blocks: hasBlocks ? blocks : null }
}

function dyLoraChoice(reader: ArgumentTexts, dim: number | null, dropout: number | null): NetworkChoice {
  const rank = dim ?? 4
  const unit = reader.count('unit') ?? 1
  const convRank = reader.count('conv_dim')
  if (rank % unit !== 0) reader.problem(`unit must divide --network_dim, found ${unit} and ${rank}`)
  if (convRank !== null && convRank !== rank)
    reader.problem(`conv_dim of networks.dylora must be that of --network_dim, found ${convRank} and ${rank}`)
  if (reader.has('conv_alpha'))
    reader.problem(
      'conv_alpha has no effect with networks.dylora, where convolutions have the alpha of --network_alpha',
    )
  if (dropout) reader.problem('networks.dylora has no dropout: leave out --network_dropout')
  return { kind: 'dylora', unit, convolutions: convRank !== null }
}
