/** Networks that go on from a file. */
import { ArgumentError, CheckpointError } from '../util/errors.ts'
import { listed } from '../util/listed.ts'
import { branchOfFile, readWeights } from './attachLora.ts'
import { fillBranch } from './attachModules.ts'
import { type BlockWeights, blockOf } from './blockWeights.ts'
import { Chance } from './chance.ts'
import { DyLoraBranch } from './dylora.ts'
import { kohyaName } from './kohyaLora.ts'
import { type LoraModels, layerFinder, placeOf } from './layers.ts'
import { type CommonOptions, checkedDropouts, checkUnit, type NetworkDropouts } from './lora.ts'
import type { LoraFile, LoraFileModule } from './loraFile.ts'
import type { NetworkFacts } from './metadata.ts'
import { BranchNetwork, type NetworkModule } from './network.ts'
import { BranchChance } from './networkBranch.ts'

export interface NetworkFromFileOptions extends NetworkDropouts, CommonOptions {
  /** Modules in blocks of weight 0 are saved as they were and do not train. Default: all train. */
  readonly blockWeights?: BlockWeights | null
  /** Trains the file's LoRA as DyLoRA, this many ranks at a time. Default: no DyLoRA. */
  readonly unit?: number | null
  /** Default: a LoRA of which no rank was given. */
  readonly facts?: NetworkFacts
}

/**
 * A network that goes on from a file: its modules, each of its own kind, rank and alpha. The scale of every branch follows from the
 * file's alpha, so what is trained is what will be saved. Modules that the file lacks are not made.
 *
 * @param models the parts to train; the file's modules for absent parts are left out
 * @throws ArgumentError when the models are not those that the file was opened for, or a unit does not divide a rank
 */
export async function networkFromFile(
  models: LoraModels,
  lora: Pick<LoraFile, 'modules'>,
  options: NetworkFromFileOptions,
): Promise<BranchNetwork> {
  const find = layerFinder('networkFromFile', models)
  const dropouts = checkedDropouts('networkFromFile', options)
  const { blockWeights = null, unit = null, seed, maxNorm = null } = options
  const facts = options.facts ?? { module: 'networks.lora', dim: null, alpha: null, dropout: dropouts.dropout }
  const chance = new Chance(seed)
  const modules: NetworkModule[] = []
  try {
    for (const module of lora.modules) {
      const layer = find(module.layer)
      if (layer === null) continue
      const { part, path } = module.layer
      const name = kohyaName(part === 'unet' ? 'lora_unet' : 'lora_te', path)
      const place = placeOf(layer)
      const branch =
        unit === null
          ? await branchOfFile(module, place, 1, new BranchChance(chance, name, dropouts))
          : await dyLoraOfFile(
              module,
              unit,
              (rank, scale) => new DyLoraBranch(place, { rank, unit }, scale, chance, name),
            )
      const block = blockOf(name)
      const frozen = block !== null && blockWeights?.[block] === 0
      const { rank, alpha } = module
      modules.push({ name, part, path, layer, branch, rank, alpha, alphaGiven: true, integerAlpha: false, frozen })
    }
    return new BranchNetwork(modules, { facts, chance, maxNorm })
  } catch (error) {
    for (const { branch } of modules) branch.dispose()
    throw error
  }
}

async function dyLoraOfFile(
  module: LoraFileModule,
  unit: number,
  make: (rank: number, scale: number) => DyLoraBranch,
): Promise<DyLoraBranch> {
  const { kind, rank, alpha } = module
  if (kind !== 'lora' || rank === null)
    throw new ArgumentError('networkFromFile', 'unit', 'left out for LoHa and LoKr', String(unit))
  checkUnit(rank, unit)
  const values = await readWeights(module)
  const branch = make(rank, alpha / rank)
  fillBranch(branch, (suffix) => values.get(suffix)!)
  return branch
}

export interface LoadedWeights {
  /** How many modules of the network the file had. */
  readonly loaded: number
  /** Names of modules that the file lacks: they start as new ones do. */
  readonly fresh: readonly string[]
  /** Layers whose modules in the file the network has no place for. */
  readonly unused: readonly string[]
}

/**
 * Gives a network the values of a file. A module's alpha is then that of the file, and its scale follows from it.
 *
 * @throws CheckpointError when the file has none of the network's modules, one of another kind or rank, or one with another alpha than
 * was asked for; nothing is changed then
 */
export async function loadNetworkWeights(
  network: BranchNetwork,
  lora: Pick<LoraFile, 'modules' | 'path'>,
): Promise<LoadedWeights> {
  const stored = new Map(lora.modules.map((module) => [`${module.layer.part} ${module.layer.path}`, module]))
  const pairs = network.modules.flatMap((module) => {
    const found = stored.get(`${module.part} ${module.path}`)
    return found === undefined ? [] : [[module, found] as const]
  })
  const problems = pairs.flatMap(([module, found]) => misfitOf(module, found) ?? [])
  if (pairs.length === 0) problems.push('it has no module of any layer that is trained')
  if (problems.length > 0) throw new CheckpointError(lora.path, `does not fit the network: ${listed(problems, 3)}`)
  for (const [module, found] of pairs) {
    const values = await readWeights(found)
    fillBranch(module.branch, (suffix) => values.get(suffix)!)
    if (found.rank === null || found.alpha === module.alpha) continue
    module.branch.scale *= found.alpha / module.alpha
    module.alpha = found.alpha
    if (!Number.isInteger(found.alpha)) module.integerAlpha = false
  }
  const used = new Set(pairs.map(([, found]) => found))
  return {
    loaded: pairs.length,
    fresh: network.modules.filter((module) => !pairs.some(([own]) => own === module)).map(({ name }) => name),
    unused: lora.modules.filter((module) => !used.has(module)).map(({ layer }) => layer.path),
  }
}

/** Why a module of a file is not that of the network, in words; null where it is. */
function misfitOf({ name, branch, alpha, alphaGiven }: NetworkModule, found: LoraFileModule): string | null {
  const own = branch.stored.map(({ suffix, fileShape }) => `${suffix} [${fileShape.join(', ')}]`).join(' and ')
  const theirs = branch.stored.every(({ suffix, fileShape }) => {
    const shape = found.weights[suffix]?.shape
    return shape !== undefined && elements(shape) === elements(fileShape) && shape[0] === fileShape[0]
  })
  if (!theirs || Object.keys(found.weights).length !== branch.stored.length) {
    const shapes = Object.entries(found.weights).map(([suffix, { shape }]) => `${suffix} [${shape.join(', ')}]`)
    return `${name} needs ${own}, found ${shapes.join(' and ')} (dim_from_weights takes the ranks of the file)`
  }
  if (alphaGiven && found.rank !== null && found.alpha !== alpha)
    return `${name} shall have the alpha ${alpha}, the file says ${found.alpha} (leave alpha out to go on with that of the file)`
  return null
}

function elements(shape: readonly number[]): number {
  return shape.reduce((count, size) => count * size, 1)
}
