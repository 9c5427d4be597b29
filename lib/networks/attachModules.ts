/** Branches made from the values of a file, beside the layers of a model. */
import type { Branch } from '../nn/branch.ts'
import { ArgumentError } from '../util/errors.ts'
import { HadamardBranch } from './hadamard.ts'
import type { KohyaLoraModule } from './kohyaLora.ts'
import { KroneckerBranch } from './kronecker.ts'
import { type LoraLayer, placeOf } from './layers.ts'
import { LowRankBranch } from './lowRank.ts'
import { fitModule, kindOf, type ModuleSizes, missingSuffixes, rankOf, scaleOf } from './moduleShapes.ts'
import { type BranchChance, type NetworkBranch, writeStored } from './networkBranch.ts'
import type { BranchPlace } from './place.ts'

/** A branch of zeros that stays until it is disposed of. */
export function blankBranch(
  place: BranchPlace,
  sizes: ModuleSizes,
  scale: number,
  chance: BranchChance | null = null,
): NetworkBranch {
  switch (sizes.kind) {
    case 'lora':
      return new LowRankBranch(place, sizes.rank, scale, chance)
    case 'loha':
      return new HadamardBranch(place, sizes.rank, scale, chance)
    case 'lokr':
      return new KroneckerBranch(place, sizes, scale, chance)
    default:
      return sizes satisfies never
  }
}

/** Gives a branch the values of a module's tensors, by the ends of their keys. */
export function fillBranch(branch: NetworkBranch, values: (suffix: string) => Float32Array): void {
  for (const stored of branch.stored) writeStored(stored, values(stored.suffix))
}

/** A change of branches that can be taken back. */
export class Attachment {
  readonly #before = new Map<LoraLayer, Branch | null>()
  readonly #made: NetworkBranch[] = []

  set(layer: LoraLayer, branch: NetworkBranch): void {
    this.#made.push(branch)
    if (!this.#before.has(layer)) this.#before.set(layer, layer.branch)
    layer.branch = branch
  }

  undo(): void {
    for (const [layer, branch] of this.#before) layer.branch = branch
    for (const branch of this.#made.splice(0)) branch.dispose()
    this.#before.clear()
  }
}

/**
 * Puts modules of any kind beside layers, in place of what is there.
 * @returns a function that puts things back
 * @throws ArgumentError for a module whose layer does not exist or has another size; nothing is changed then
 */
export function attachModules(
  op: string,
  modules: readonly KohyaLoraModule[],
  layers: ReadonlyMap<string, LoraLayer>,
  multiplier = 1,
): () => void {
  const attached = new Attachment()
  try {
    for (const { name, alpha, weights } of modules) {
      const layer = layers.get(name)
      const shapes = Object.fromEntries(Object.entries(weights).map(([suffix, { shape }]) => [suffix, shape]))
      const found = Object.entries(shapes).map(([suffix, shape]) => `${suffix} [${shape.join(', ')}]`)
      const received = found.join(' and ') || 'nothing'
      if (layer === undefined) throw new ArgumentError(op, name, 'the name of a layer of this model', received)
      const kind = kindOf(Object.keys(shapes))
      if (kind === null || missingSuffixes(kind, new Set(Object.keys(shapes))).length > 0)
        throw new ArgumentError(op, name, 'all tensors of a LoRA, LoHa or LoKr', received)
      const place = placeOf(layer)
      const fit = fitModule(place, kind, shapes)
      if ('misfit' in fit) throw new ArgumentError(op, name, `for a layer [${place.shape.join(', ')}]`, fit.misfit)
      const { sizes } = fit
      const branch = blankBranch(place, sizes, multiplier * scaleOf(sizes, alpha ?? rankOf(sizes) ?? 1))
      attached.set(layer, branch)
      fillBranch(branch, (suffix) => weights[suffix]!.values)
    }
  } catch (error) {
    attached.undo()
    throw error
  }
  return () => attached.undo()
}
