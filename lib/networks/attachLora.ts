import { ArgumentError } from '../util/errors.ts'
import { Attachment, blankBranch, fillBranch } from './attachModules.ts'
import { type LoraLayer, type LoraModels, layerFinder, placeOf } from './layers.ts'
import type { LoraFile, LoraFileModule } from './loraFile.ts'
import { fitModule, scaleOf } from './moduleShapes.ts'
import type { BranchChance, NetworkBranch } from './networkBranch.ts'
import type { BranchPlace } from './place.ts'

export interface LoraStrength {
  /** Of both parts, unless they have their own. Default: 1. */
  readonly multiplier?: number
  readonly unetMultiplier?: number
  readonly textEncoderMultiplier?: number
}

/** The multiplier of each part. */
export function strengths(options: LoraStrength): Readonly<Record<'unet' | 'textEncoder', number>> {
  const { multiplier = 1, unetMultiplier = multiplier, textEncoderMultiplier = multiplier } = options
  return { unet: unetMultiplier, textEncoder: textEncoderMultiplier }
}

/**
 * Attaches the modules of a LoRA file to models, for inference: the weights of the models stay as they are. Several files are
 * combined by merging all but one.
 *
 * @returns a function that takes the modules off again and puts back what was there before
 * @throws ArgumentError when the models are not those that the file was opened for; nothing is attached then
 */
export async function attachLoraFile(
  lora: Pick<LoraFile, 'modules'>,
  models: LoraModels,
  options: LoraStrength = {},
): Promise<() => void> {
  const find = layerFinder('attachLoraFile', models)
  const strength = strengths(options)
  const made: { layer: LoraLayer; branch: NetworkBranch }[] = []
  try {
    for (const module of lora.modules) {
      const layer = find(module.layer)
      if (layer === null) continue
      made.push({ layer, branch: await branchOfFile(module, placeOf(layer), strength[module.layer.part]) })
    }
  } catch (error) {
    for (const { branch } of made) branch.dispose()
    throw error
  }
  const attached = new Attachment()
  for (const { layer, branch } of made) attached.set(layer, branch)
  return () => attached.undo()
}

/** A module of a file as a branch that stays until it is disposed of. */
export async function branchOfFile(
  module: LoraFileModule,
  place: BranchPlace,
  multiplier = 1,
  chance: BranchChance | null = null,
): Promise<NetworkBranch> {
  const { kind, alpha, weights } = module
  const shapes = Object.fromEntries(Object.entries(weights).map(([suffix, { shape }]) => [suffix, shape]))
  const fit = fitModule(place, kind, shapes)
  if ('misfit' in fit)
    throw new ArgumentError('branchOfFile', 'module', `for a layer [${place.shape.join(', ')}]`, fit.misfit)
  const values = await readWeights(module)
  const branch = blankBranch(place, fit.sizes, multiplier * scaleOf(fit.sizes, alpha), chance)
  fillBranch(branch, (suffix) => values.get(suffix)!)
  return branch
}

/** The values of a module by the ends of their keys. */
export async function readWeights({ weights }: LoraFileModule): Promise<ReadonlyMap<string, Float32Array>> {
  const values = new Map<string, Float32Array>()
  for (const [suffix, matrix] of Object.entries(weights)) values.set(suffix, await matrix.read())
  return values
}
