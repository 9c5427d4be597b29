/** The layers of models in memory that a low-rank branch can stand beside, and branches made from the values of a file. */
import type { ClipTextModel } from '../models/clip/textModel.ts'
import type { LayerShape } from '../models/stableDiffusion/layerShapes.ts'
import type { UNet } from '../models/stableDiffusion/unet.ts'
import type { Conv2d } from '../nn/conv2d.ts'
import { Linear, type LoraBranch } from '../nn/linear.ts'
import type { FileLayout } from '../nn/weights.ts'
import { contiguous } from '../ops/contiguous.ts'
import { permute } from '../ops/permute.ts'
import { tensor } from '../tensor/create.ts'
import { keep, scope } from '../tensor/scope.ts'
import type { Tensor } from '../tensor/tensor.ts'
import { ArgumentError } from '../util/errors.ts'

export type LoraLayer = Linear | Conv2d

/** The models that a LoRA is attached to or merged into. An absent part takes none. */
export interface LoraModels {
  readonly textEncoder?: ClipTextModel | undefined
  readonly unet?: UNet | undefined
}

/** Every projection and convolution of one part of a model, by its path. */
export function layersOf(model: ClipTextModel | UNet): Map<string, LoraLayer> {
  return new Map<string, LoraLayer>([...model.registry.linears, ...model.registry.convs])
}

/** Looks up layers by their place in a file. */
export function layerFinder(op: string, models: LoraModels): (layer: LayerShape) => LoraLayer | null {
  const maps = {
    textEncoder: models.textEncoder && layersOf(models.textEncoder),
    unet: models.unet && layersOf(models.unet),
  }
  return ({ part, path, shape }) => {
    const layers = maps[part]
    if (layers === undefined) return null
    const found = layers.get(path)
    const size = found && [found.weight.dim(0), found.weight.dim(-1)]
    if (!found || size![0] !== shape[0] || size![1] !== shape[1])
      throw new ArgumentError(
        op,
        `the model's layer ${path}`,
        `[${shape.join(', ')}], as the LoRA was opened for`,
        found ? `[${found.weight.shape.join(', ')}]` : 'none of that name',
      )
    return found
  }
}

/** A weight `down` from a file, [rank, in] or [rank, in, h, w], in the layout of the layer's memory. */
export function downToMemory(values: Float32Array, layer: LoraLayer, rank: number): Tensor {
  if (layer instanceof Linear) return tensor(values, [rank, layer.weight.dim(1)])
  return scope(() => {
    const [, height, width, inChannels] = layer.weight.shape as readonly [number, number, number, number]
    return contiguous(permute(tensor(values, [rank, inChannels, height, width]), { axes: [0, 2, 3, 1] }))
  })
}

/** The other way: the values of `down` as files have them. The caller awaits the read before it changes the branch. */
export async function downToFile(down: Tensor, layer: LoraLayer): Promise<Float32Array> {
  if (layer instanceof Linear) return (await down.read()) as Float32Array
  const packed = scope(() => contiguous(permute(down, { axes: [0, 3, 1, 2] })))
  try {
    return (await packed.read()) as Float32Array
  } finally {
    packed.dispose()
  }
}

/** The shapes of a module's two weights in files: those of 1x1 convolutions are four-dimensional there. */
export function fileShapes(layer: LoraLayer, rank: number): { readonly down: number[]; readonly up: number[] } {
  const out = layer.weight.dim(0)
  if (layer instanceof Linear) {
    const tail = layer.conv1x1 ? [1, 1] : []
    return { down: [rank, layer.weight.dim(1), ...tail], up: [out, rank, ...tail] }
  }
  const [, height, width, inChannels] = layer.weight.shape as readonly [number, number, number, number]
  return { down: [rank, inChannels, height, width], up: [out, rank, 1, 1] }
}

/** How files lay out a module's two weights: `up` is a 1x1 convolution beside every convolution. */
export function fileLayouts(layer: LoraLayer): { readonly down: FileLayout; readonly up: FileLayout } {
  if (!(layer instanceof Linear)) return { down: 'conv', up: 'conv1x1' }
  const layout = layer.conv1x1 ? 'conv1x1' : 'same'
  return { down: layout, up: layout }
}

export interface BranchValues {
  readonly rank: number
  /** As in files. */
  readonly down: Float32Array
  readonly up: Float32Array
  readonly scale: number
}

/** A branch that stays until it is disposed of. */
export function branchOf(layer: LoraLayer, { rank, down, up, scale }: BranchValues): LoraBranch {
  return {
    down: keep(downToMemory(down, layer, rank)),
    up: keep(tensor(up, [layer.weight.dim(0), rank])),
    scale,
    dropout: null,
  }
}
