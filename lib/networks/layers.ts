/** The layers of models in memory that a branch can stand beside, and the layouts of their tensors. */
import type { ClipTextModel } from '../models/clip/textModel.ts'
import type { LayerShape } from '../models/stableDiffusion/layerShapes.ts'
import type { UNet } from '../models/stableDiffusion/unet.ts'
import type { Conv2d } from '../nn/conv2d.ts'
import { Linear } from '../nn/linear.ts'
import { ArgumentError } from '../util/errors.ts'
import type { BranchPlace } from './place.ts'

export type LoraLayer = Linear | Conv2d

/** The models that a LoRA is attached to or merged into. An absent part takes none. */
export interface LoraModels {
  readonly textEncoder?: ClipTextModel | undefined
  readonly unet?: UNet | undefined
}

/** Every projection and convolution of one part of a model, by its path, in definition order. */
export function layersOf(model: ClipTextModel | UNet): Map<string, LoraLayer> {
  const { parameters, linears, convs } = model.registry
  const found = new Map<string, LoraLayer>()
  for (const name of parameters.keys()) {
    const path = name.replace(/\.weight$/, '')
    const layer = linears.get(path) ?? convs.get(path)
    if (layer && path !== name) found.set(path, layer)
  }
  return found
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

export function placeOf(layer: LoraLayer): BranchPlace {
  const { shape, device } = layer.weight
  if (!(layer instanceof Linear)) return { shape, layout: 'conv', device }
  return { shape, layout: layer.conv1x1 ? 'conv1x1' : 'same', device }
}
