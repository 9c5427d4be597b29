import { noGrad } from '../autograd/tape.ts'
import { accumulate } from '../ops/accumulate.ts'
import { contiguous } from '../ops/contiguous.ts'
import { permute } from '../ops/permute.ts'
import { scope } from '../tensor/scope.ts'
import { ArgumentError } from '../util/errors.ts'
import { branchOfFile, type LoraStrength, strengths } from './attachLora.ts'
import { type LoraModels, layerFinder, placeOf } from './layers.ts'
import type { LoraFile, LoraFileModule } from './loraFile.ts'
import { placeInFile } from './place.ts'

/** What a LoRA module adds to its layer's weight, in the layout of files. */
export interface LoraDelta {
  /** [out, in] or [out, in, height, width]. */
  readonly shape: readonly number[]
  readonly values: Float32Array
}

/**
 * What a module of a file adds to its layer's weight as one matrix, `multiplier · alpha / rank · up · down` for LoRA. For a convolution
 * that is `Σ_r up[o, r] · down[r, i, y, x]`: the same product with the kernel's places as columns, because `up` sees one pixel.
 *
 * @param multiplier Default: 1
 * @returns float32, whatever the file holds
 */
export async function loraDelta(module: LoraFileModule, multiplier = 1): Promise<LoraDelta> {
  if (!Number.isFinite(multiplier))
    throw new ArgumentError('loraDelta', 'multiplier', 'a finite number', String(multiplier))
  const { shape } = module.layer
  const place = placeInFile(module.layer)
  const branch = await branchOfFile(module, place, multiplier)
  const delta = noGrad(() =>
    scope(() => {
      const inMemory = branch.delta()
      return place.layout === 'conv' ? contiguous(permute(inMemory, { axes: [0, 3, 1, 2] })) : inMemory
    }),
  )
  try {
    return { shape, values: (await delta.read()) as Float32Array }
  } finally {
    delta.dispose()
    branch.dispose()
  }
}

/**
 * Adds a LoRA to the weights of models in memory, for good. Each change is computed in float32 and rounded once, to the type the
 * weight is stored in: float32 models keep all of it. (Trainers that round the merged weight to the type of training first lose most
 * of a small change.)
 *
 * @param models an absent part is left out
 * @returns how many layers were changed
 * @throws ArgumentError when the models are not those that the file was opened for; nothing is changed then
 */
export async function mergeLora(
  models: LoraModels,
  lora: Pick<LoraFile, 'modules'>,
  options: LoraStrength = {},
): Promise<number> {
  const find = layerFinder('mergeLora', models)
  const strength = strengths(options)
  const targets = lora.modules.map((module) => ({ module, layer: find(module.layer) }))
  const changed = targets.filter(({ layer }) => layer !== null)
  for (const { module, layer } of changed) {
    const branch = await branchOfFile(module, placeOf(layer!), strength[module.layer.part])
    noGrad(() => scope(() => accumulate(layer!.weight, branch.delta())))
    branch.dispose()
  }
  return changed.length
}
