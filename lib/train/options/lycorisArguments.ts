/** The arguments of LyCORIS' networks. */
import type { NetworkChoice } from '../../networks/createNetwork.ts'
import { type LycorisPreset, lycorisPresets } from '../../networks/lycoris.ts'
import type { ArgumentTexts } from './argumentTexts.ts'

/** Arguments of LyCORIS that are taken only where they switch something off that is not built. */
const switches: Readonly<Record<string, string>> = {
  use_tucker: 'Tucker decomposition',
  use_cp: 'Tucker decomposition',
  use_conv_cp: 'Tucker decomposition',
  use_scalar: 'a trained factor of each module',
  dora_wd: 'DoRA',
  train_norm: 'training of normalisation layers',
  rs_lora: 'rank-stabilised scaling',
  rank_dropout_scale: 'scaling of what rank_dropout leaves',
  bypass_mode: 'the bypass mode',
}
const lokrNames = ['factor', 'decompose_both', 'full_matrix', 'unbalanced_factorization']

export const lycorisNames: readonly string[] = [
  ...['algo', 'preset', 'conv_dim', 'conv_alpha', 'dropout', 'rank_dropout', 'module_dropout'],
  ...lokrNames,
  ...Object.keys(switches),
]

const algorithms = ['lora', 'locon', 'loha', 'lokr'] as const

/** @param networkDropout `--network_dropout` */
export function readLycorisArguments(reader: ArgumentTexts, networkDropout: number | null): NetworkChoice {
  const algorithm = reader.choice('algo', algorithms) ?? 'lora'
  const common = {
    preset: reader.choice('preset', Object.keys(lycorisPresets) as LycorisPreset[]) ?? 'full',
    convRank: reader.count('conv_dim'),
    convAlpha: reader.number('conv_alpha', 'of at least 0', (value) => value >= 0),
    rankDropout: reader.share('rank_dropout'),
    moduleDropout: reader.share('module_dropout'),
  }
  const dropout = reader.share('dropout')
  for (const [name, what] of Object.entries(switches))
    if (reader.boolean(name)) reader.problem(`${name}=True asks for ${what}, which is not built`)
  if (algorithm !== 'lokr')
    for (const name of lokrNames) if (reader.has(name)) reader.problem(`${name} has no effect without algo=lokr`)
  if (!lycorisPresets[common.preset].convolutions)
    for (const name of ['conv_dim', 'conv_alpha'])
      if (reader.has(name))
        reader.problem(`${name} has no effect with preset=${common.preset}, which leaves 3x3 convolutions out`)
  if (algorithm === 'lora' || algorithm === 'locon')
    return { kind: 'locon', ...common, ...(dropout === null ? {} : { dropout }) }
  if (dropout || networkDropout)
    reader.problem(`algo=${algorithm} has no dropout of elements: use rank_dropout or module_dropout`)
  if (algorithm === 'loha') return { kind: 'loha', ...common }
  return {
    kind: 'lokr',
    ...common,
    factor: reader.number('factor', '-1 or a whole number above 0', isFactor) ?? -1,
    decomposeBoth: reader.boolean('decompose_both') ?? false,
    fullMatrix: reader.boolean('full_matrix') ?? false,
    unbalanced: reader.boolean('unbalanced_factorization') ?? false,
  }
}

function isFactor(value: number): boolean {
  return value === -1 || (Number.isInteger(value) && value > 0)
}
