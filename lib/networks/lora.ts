/** LoRA and DyLoRA as kohya's tools make them: which layers, which ranks and alphas, which names and initial values. */
import { ArgumentError } from '../util/errors.ts'
import { attachModules } from './attachModules.ts'
import { BLOCK_COUNT, type BlockWeights } from './blockWeights.ts'
import { Chance } from './chance.ts'
import { DyLoraBranch } from './dylora.ts'
import type { KohyaLoraModule } from './kohyaLora.ts'
import { type LoraModels, placeOf } from './layers.ts'
import { LowRankBranch } from './lowRank.ts'
import { BranchNetwork, type NetworkModule } from './network.ts'
import { BranchChance, type Dropouts } from './networkBranch.ts'
import { type Container, type NetworkTarget, networkTargets } from './targets.ts'

/** Ranks and alphas by block of the U-Net, 25 each, in place of those of the whole network. A rank of 0: no modules there. */
export interface BlockRanks {
  readonly ranks?: readonly number[] | null
  readonly alphas?: readonly number[] | null
  /** Of 3x3 convolutions. */
  readonly convRanks?: readonly number[] | null
  readonly convAlphas?: readonly number[] | null
}

export interface NetworkDropouts {
  /** Probability of dropping an element of x down^T in training. Default none. */
  readonly dropout?: number | null
  /** Probability of dropping a rank of a sample. Default none. */
  readonly rankDropout?: number | null
  /** Probability of leaving a module out of a pass. Default none. */
  readonly moduleDropout?: number | null
}

/** What networks of all kinds are told. */
export interface CommonOptions {
  /** Limit for the norm of every module's change of its weight: see `BranchNetwork.afterStep`. Default: none. */
  readonly maxNorm?: number | null
  /** For the initial values and what is drawn by chance. */
  readonly seed: number | bigint
}

export interface LoraOptions extends NetworkDropouts, CommonOptions {
  /** Default 4. */
  readonly rank?: number | null
  /** Default 1; 0 means the rank. The branch is scaled by alpha / rank. */
  readonly alpha?: number | null
  /**
   * Rank of 3x3 convolutions. The projections and 1x1 convolutions of the blocks they are in (`time_emb_proj`, `conv_shortcut`) get
   * modules too then, of `rank`. Default: none of them gets any.
   */
  readonly convRank?: number | null
  /** Default 1; 0 means `convRank`. */
  readonly convAlpha?: number | null
  readonly blocks?: BlockRanks | null
  /** By block of the U-Net; blocks of weight 0 get no modules. Default: every block gets them. */
  readonly blockWeights?: BlockWeights | null
}

const transformers: readonly Container[] = ['clipAttention', 'clipMlp', 'attention', 'transformer']
const withConvolutions: readonly Container[] = [...transformers, 'resnet', 'sampler']

/** The low-rank branches of one training run. They are attached to the layers until `dispose`. */
export class LoraNetwork extends BranchNetwork<LowRankBranch> {
  /**
   * @param models the parts to train; absent parts are left as they are
   * @throws ArgumentError for a rank below 1, lists that are not of 25 numbers, or a dropout outside [0, 1)
   */
  constructor(models: LoraModels, options: LoraOptions) {
    const { rank = null, alpha = null, seed, maxNorm = null } = options
    const chance = new Chance(seed)
    const dropouts = checkedDropouts('LoraNetwork', options)
    const { convRank, blocks } = options
    const wide = (convRank ?? null) !== null || (blocks?.convRanks ?? null) !== null
    const containers = new Set(wide ? withConvolutions : transformers)
    const plan = planRanks('LoraNetwork', options)
    const modules = freshModules(models, containers, seed, (target) => {
      const planned = plan(target)
      if (planned === null) return null
      const drawn = new BranchChance(chance, target.name, dropouts)
      const scale = planned.alpha / planned.rank
      return { ...planned, branch: new LowRankBranch(placeOf(target.layer), planned.rank, scale, drawn) }
    })
    super(modules, { facts: { module: 'networks.lora', dim: rank, alpha, dropout: dropouts.dropout }, chance, maxNorm })
  }
}

export interface DyLoraOptions extends CommonOptions {
  /** Default 4. */
  readonly rank?: number | null
  /** Default 1; 0 means the rank. */
  readonly alpha?: number | null
  /** Ranks that train together; divides the rank. Default 1. */
  readonly unit?: number
  /** Whether 3x3 convolutions, and the other layers of the blocks they are in, get modules too. Default false. */
  readonly convolutions?: boolean
}

/** A network of which any leading units of ranks can be used afterwards. Its files are those of LoRA. */
export class DyLoraNetwork extends BranchNetwork<DyLoraBranch> {
  /** @throws ArgumentError for a rank below 1 or a unit that does not divide it */
  constructor(models: LoraModels, options: DyLoraOptions) {
    const { rank = null, alpha = null, unit = 1, convolutions = false, seed, maxNorm = null } = options
    const plan = planRanks('DyLoraNetwork', { rank, alpha, convRank: convolutions ? (rank ?? 4) : null })
    checkUnit(rank ?? 4, unit)
    const chance = new Chance(seed)
    const containers = new Set(convolutions ? withConvolutions : transformers)
    const modules = freshModules(models, containers, seed, (target) => {
      const planned = plan({ ...target, isWide: false })!
      const size = { rank: planned.rank, unit }
      const branch = new DyLoraBranch(placeOf(target.layer), size, planned.alpha / planned.rank, chance, target.name)
      return { ...planned, branch }
    })
    super(modules, { facts: { module: 'networks.dylora', dim: rank, alpha, dropout: null }, chance, maxNorm })
  }
}

/** @throws ArgumentError for a unit that does not divide the rank */
export function checkUnit(rank: number, unit: number): void {
  if (!Number.isInteger(unit) || unit < 1 || rank % unit !== 0)
    throw new ArgumentError('DyLoraNetwork', 'unit', `a divisor of the rank ${rank}`, String(unit))
}

/** @throws ArgumentError for a probability outside [0, 1) */
export function checkedDropouts(op: string, options: NetworkDropouts): Dropouts {
  const checked = (name: keyof NetworkDropouts): number | null => {
    const p = options[name] ?? null
    if (p !== null && !(p >= 0 && p < 1)) throw new ArgumentError(op, name, 'in [0, 1)', String(p))
    return p || null
  }
  return {
    dropout: checked('dropout'),
    rankDropout: checked('rankDropout'),
    moduleDropout: checked('moduleDropout'),
  }
}

export interface PlannedModule extends Pick<NetworkModule, 'alpha' | 'integerAlpha' | 'alphaGiven'> {
  readonly rank: number
}

/** The module of every target that gets one, with its initial values. */
export function freshModules<B extends NetworkModule['branch']>(
  models: LoraModels,
  containers: ReadonlySet<Container>,
  seed: number | bigint,
  plan: (target: NetworkTarget) => (PlannedModule & { readonly branch: B }) | null,
): NetworkModule<B>[] {
  return networkTargets(models).flatMap((target) => {
    if (!containers.has(target.container)) return []
    const module = plan(target)
    if (module === null) return []
    const { name, part, path, layer } = target
    module.branch.initialise(name, seed)
    return [{ name, part, path, layer, frozen: false, ...module }]
  })
}

type RankOptions = Pick<LoraOptions, 'rank' | 'alpha' | 'convRank' | 'convAlpha' | 'blocks' | 'blockWeights'>

/** The rank and alpha of every layer's module; null: it gets none. */
function planRanks(op: string, options: RankOptions): (target: NetworkTarget) => PlannedModule | null {
  const { convRank = null, convAlpha = null, blocks = null, blockWeights = null } = options
  const rank = options.rank ?? 4
  for (const [name, value] of [
    ['rank', rank],
    ['convRank', convRank],
  ] as const)
    if (value !== null && (!Number.isInteger(value) || value < 1))
      throw new ArgumentError(op, name, 'a whole number of 1 or more', String(value))
  for (const [name, list] of Object.entries(blocks ?? {}) as [string, readonly number[] | null][])
    if (list && (list.length !== BLOCK_COUNT || list.some((value) => !(value >= 0))))
      throw new ArgumentError(op, `blocks.${name}`, `${BLOCK_COUNT} numbers of at least 0`, `[${list.join(', ')}]`)
  return ({ block, isWide }) => {
    if (block !== null && blockWeights?.[block] === 0) return null
    const own = (list: readonly number[] | null | undefined): number | undefined =>
      block === null ? undefined : list?.[block]
    const size = isWide ? (own(blocks?.convRanks) ?? convRank) : (own(blocks?.ranks) ?? rank)
    if (!size) return null
    const given = isWide ? (own(blocks?.convAlphas) ?? convAlpha) : (own(blocks?.alphas) ?? options.alpha ?? null)
    return {
      rank: size,
      alpha: (given ?? 1) || size,
      alphaGiven: given !== null,
      integerAlpha: integerAlphaOf(given, isWide || own(blocks?.alphas) !== undefined),
    }
  }
}

/**
 * How other tools store alpha: as a whole number where it stands for the rank or is the network's default; as a float where convolutions
 * or a block have one of their own, given or not. Where the network's was given, the writer's options say.
 */
function integerAlphaOf(given: number | null, isOwn: boolean): boolean | undefined {
  if (given === 0) return true
  if (isOwn) return false
  return given === null ? true : undefined
}

/**
 * Attaches the modules of a kohya file in memory to models, for inference: previews are made from what was written.
 * @returns a function that takes them off again
 * @throws ArgumentError for a module whose layer does not exist or has another size
 */
export function attachLora(
  modules: readonly KohyaLoraModule[],
  models: Required<LoraModels>,
  multiplier = 1,
): () => void {
  const layers = new Map(networkTargets(models).map(({ name, layer }) => [name, layer]))
  return attachModules('attachLora', modules, layers, multiplier)
}
