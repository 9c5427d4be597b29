import { Linear } from '../nn/linear.ts'
import { accumulate } from '../ops/accumulate.ts'
import { contiguous } from '../ops/contiguous.ts'
import { matmul } from '../ops/matmul.ts'
import { permute } from '../ops/permute.ts'
import { reshape } from '../ops/reshape.ts'
import { scale } from '../ops/scale.ts'
import { tensor } from '../tensor/create.ts'
import { scope } from '../tensor/scope.ts'
import type { Tensor } from '../tensor/tensor.ts'
import { ArgumentError } from '../util/errors.ts'
import { type LoraStrength, strengths } from './attachLora.ts'
import { type LoraModels, layerFinder } from './layers.ts'
import type { LoraFile, LoraFileModule } from './loraFile.ts'

/** What a LoRA module adds to its layer's weight, in the layout of files. */
export interface LoraDelta {
  /** [out, in] or [out, in, height, width]. */
  readonly shape: readonly number[]
  readonly values: Float32Array
}

/**
 * `multiplier · alpha / rank · up · down` as one matrix. For a convolution, `Σ_r up[o, r] · down[r, i, y, x]`: the same product with
 * the kernel's places as columns, because `up` sees one pixel.
 *
 * @param multiplier Default: 1
 * @returns float32, whatever the file holds
 */
export async function loraDelta(module: LoraFileModule, multiplier = 1): Promise<LoraDelta> {
  const { shape } = module.layer
  const [down, up] = [await module.down.read(), await module.up.read()]
  const delta = scope(() => product(module, down, up, multiplier))
  try {
    return { shape, values: (await delta.read()) as Float32Array }
  } finally {
    delta.dispose()
  }
}

/** [out, in · height · width], the file's order of elements. */
function product({ layer, rank, alpha }: LoraFileModule, down: Float32Array, up: Float32Array, m: number): Tensor {
  const [out, ...inner] = layer.shape as readonly [number, ...number[]]
  const columns = inner.reduce((count, size) => count * size, 1)
  const factor = (m * alpha) / rank
  if (!Number.isFinite(factor)) throw new ArgumentError('loraDelta', 'multiplier', 'a finite number', String(m))
  return matmul(scale(tensor(up, [out, rank]), { factor }), tensor(down, [rank, columns]))
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
    const [down, up] = [await module.down.read(), await module.up.read()]
    scope(() => {
      const delta = product(module, down, up, strength[module.layer.part])
      const { weight } = layer!
      accumulate(weight, layer instanceof Linear ? delta : kernelLast(delta, weight.shape))
    })
  }
  return changed.length
}

/** [out, in · h · w] to a convolution's [out, h, w, in]. */
function kernelLast(delta: Tensor, [out, height, width, inChannels]: readonly number[]): Tensor {
  const inFile = reshape(delta, { shape: [out!, inChannels!, height!, width!] })
  return contiguous(permute(inFile, { axes: [0, 2, 3, 1] }))
}
