/** LoCon, LoHa and LoKr as LyCORIS makes them: which layers, which sizes, which names and initial values. */
import { ArgumentError } from '../util/errors.ts'
import { Chance } from './chance.ts'
import { HadamardBranch } from './hadamard.ts'
import { KroneckerBranch, type KroneckerOptions, kroneckerSizes } from './kronecker.ts'
import { type LoraModels, placeOf } from './layers.ts'
import { type CommonOptions, checkedDropouts, freshModules, type NetworkDropouts, type PlannedModule } from './lora.ts'
import { LowRankBranch } from './lowRank.ts'
import { scaleOf } from './moduleShapes.ts'
import { BranchNetwork } from './network.ts'
import { BranchChance } from './networkBranch.ts'
import type { Container, NetworkTarget } from './targets.ts'

const textEncoder: readonly Container[] = ['clipAttention', 'clipMlp']
const whole: readonly Container[] = ['attention', 'transformer', 'resnet', 'sampler', 'ends', 'time']

/** LyCORIS' presets: which layers get modules, and whether 3x3 convolutions are among them. */
export const lycorisPresets = {
  full: { containers: [...textEncoder, ...whole], convolutions: true },
  'full-lin': { containers: [...textEncoder, 'attention', 'transformer', 'resnet', 'time'], convolutions: false },
  'attn-mlp': { containers: [...textEncoder, 'attention', 'transformer'], convolutions: false },
  'attn-only': { containers: ['clipAttention', 'attention'], convolutions: false },
  'unet-only': { containers: whole, convolutions: true },
  'unet-transformer-only': { containers: ['attention', 'transformer'], convolutions: false },
  'unet-convblock-only': { containers: ['resnet', 'sampler', 'ends'], convolutions: true },
} as const satisfies Readonly<
  Record<string, { readonly containers: readonly Container[]; readonly convolutions: boolean }>
>

export type LycorisPreset = keyof typeof lycorisPresets

export interface LycorisOptions extends Omit<NetworkDropouts, 'dropout'>, CommonOptions {
  /** Default 4. */
  readonly rank?: number | null
  /** Default 1; 0 means the rank. */
  readonly alpha?: number | null
  /** Rank of 3x3 convolutions. Default: `rank`. */
  readonly convRank?: number | null
  /** Of 3x3 convolutions. Default: `alpha`. */
  readonly convAlpha?: number | null
  /** Default `full`. */
  readonly preset?: LycorisPreset
}

/** LoRA beside the layers that LyCORIS chooses, 3x3 convolutions too. The dropouts are those of kohya's LoRA. */
export class LoconNetwork extends BranchNetwork<LowRankBranch> {
  /** @throws ArgumentError for a rank below 1 or a dropout outside [0, 1) */
  constructor(models: LoraModels, options: LycorisOptions & Pick<NetworkDropouts, 'dropout'>) {
    const { chance, plan, containers, settings } = lycorisPlan('LoconNetwork', options)
    const modules = freshModules(models, containers, options.seed, (target) => {
      const planned = plan(target)
      if (planned === null) return null
      const scale = planned.alpha / planned.rank
      return { ...planned, branch: new LowRankBranch(placeOf(target.layer), planned.rank, scale, chance(target.name)) }
    })
    super(modules, settings)
  }
}

/** A change of every weight that is the element-wise product of two low-rank matrices. */
export class LohaNetwork extends BranchNetwork<HadamardBranch> {
  /** @throws ArgumentError for a rank below 1 or a dropout outside [0, 1) */
  constructor(models: LoraModels, options: LycorisOptions) {
    const { chance, plan, containers, settings } = lycorisPlan('LohaNetwork', options)
    const modules = freshModules(models, containers, options.seed, (target) => {
      const planned = plan(target)
      if (planned === null) return null
      const scale = planned.alpha / planned.rank
      return { ...planned, branch: new HadamardBranch(placeOf(target.layer), planned.rank, scale, chance(target.name)) }
    })
    super(modules, settings)
  }
}

export interface LokrOptions extends LycorisOptions, Omit<KroneckerOptions, 'rank'> {}

/** A change of every weight that is a Kronecker product. */
export class LokrNetwork extends BranchNetwork<KroneckerBranch> {
  /** @throws ArgumentError for a rank below 1, a factor that is neither -1 nor positive, or a dropout outside [0, 1) */
  constructor(models: LoraModels, options: LokrOptions) {
    const { factor = -1 } = options
    if (!Number.isInteger(factor) || (factor < 1 && factor !== -1))
      throw new ArgumentError('LokrNetwork', 'factor', '-1 or a whole number of 1 or more', String(factor))
    const { chance, plan, containers, settings } = lycorisPlan('LokrNetwork', options)
    const modules = freshModules(models, containers, options.seed, (target) => {
      const planned = plan(target)
      if (planned === null) return null
      const place = placeOf(target.layer)
      const sizes = kroneckerSizes(place, { ...options, rank: planned.rank })
      // Two whole matrices are taken as they are: alpha is then the rank.
      const alpha = sizes.rank1 === null && sizes.rank2 === null ? planned.rank : planned.alpha
      const scale = scaleOf({ kind: 'lokr', ...sizes }, alpha)
      return { ...planned, alpha, branch: new KroneckerBranch(place, sizes, scale, chance(target.name)) }
    })
    super(modules, settings)
  }
}

function lycorisPlan(op: string, options: LycorisOptions & Pick<NetworkDropouts, 'dropout'>) {
  const {
    rank = null,
    alpha = null,
    convRank = null,
    convAlpha = null,
    preset = 'full',
    seed,
    maxNorm = null,
  } = options
  const { containers, convolutions } = lycorisPresets[preset]
  const dropouts = checkedDropouts(op, options)
  const chance = new Chance(seed)
  const sizes = { rank: rank ?? 4, convRank: convRank ?? rank ?? 4 }
  for (const [name, size] of Object.entries(sizes))
    if (!Number.isInteger(size) || size < 1)
      throw new ArgumentError(op, name, 'a whole number of 1 or more', String(size))
  return {
    containers: new Set<Container>(containers),
    chance: (name: string) => new BranchChance(chance, name, dropouts),
    plan({ isWide }: NetworkTarget): PlannedModule | null {
      if (isWide && !convolutions) return null
      const size = isWide ? sizes.convRank : sizes.rank
      const given = isWide ? convAlpha || alpha : alpha
      return { rank: size, alpha: (given ?? 1) || size, alphaGiven: given !== null, integerAlpha: false }
    },
    settings: { facts: { module: 'lycoris.kohya', dim: rank, alpha, dropout: dropouts.dropout }, chance, maxNorm },
  }
}
