/** Which layers a network stands beside. */
import type { ClipTextModel } from '../models/clip/textModel.ts'
import type { UNet } from '../models/stableDiffusion/unet.ts'
import { blockOf } from './blockWeights.ts'
import { kohyaName } from './kohyaLora.ts'
import { type LoraLayer, type LoraModels, layersOf, placeOf } from './layers.ts'
import type { NetworkPart } from './network.ts'
import { sizesOf } from './place.ts'

/** What holds a layer: blocks as diffusers and transformers name them. */
export type Container =
  /** The text encoder's `self_attn` and `mlp`. */
  | 'clipAttention'
  | 'clipMlp'
  /** A transformer of the U-Net: its `attn1` and `attn2`, and the rest of it. */
  | 'attention'
  | 'transformer'
  | 'resnet'
  /** `downsamplers` and `upsamplers`. */
  | 'sampler'
  /** `conv_in` and `conv_out`. */
  | 'ends'
  /** `time_embedding` */
  | 'time'

/** A layer that a network may stand beside. */
export interface NetworkTarget {
  /** In files. */
  readonly name: string
  readonly part: NetworkPart
  readonly path: string
  readonly layer: LoraLayer
  readonly container: Container
  /** Of the 25 blocks of the U-Net; null outside of them. */
  readonly block: number | null
  /** A convolution that sees more than one pixel. */
  readonly isWide: boolean
}

const containers: readonly (readonly [pattern: RegExp, container: Container])[] = [
  [/\.self_attn\./, 'clipAttention'],
  [/\.mlp\./, 'clipMlp'],
  [/\.attentions\..*\.attn[12]\./, 'attention'],
  [/\.attentions\./, 'transformer'],
  [/\.resnets\./, 'resnet'],
  [/\.(down|up)samplers\./, 'sampler'],
  [/^conv_(in|out)$/, 'ends'],
  [/^time_embedding\./, 'time'],
]

/** All layers of the models in definition order: text encoder first; of the U-Net down, up, middle. */
export function networkTargets({ textEncoder, unet }: LoraModels): NetworkTarget[] {
  return [
    ...(textEncoder ? targetsOf('textEncoder', 'lora_te', textEncoder) : []),
    ...(unet ? targetsOf('unet', 'lora_unet', unet) : []),
  ]
}

function targetsOf(part: NetworkPart, prefix: 'lora_te' | 'lora_unet', model: ClipTextModel | UNet): NetworkTarget[] {
  return [...layersOf(model)].flatMap(([path, layer]) => {
    const container = containers.find(([pattern]) => pattern.test(path))?.[1]
    if (container === undefined) return []
    const name = kohyaName(prefix, path)
    const isWide = sizesOf(placeOf(layer)).kernel.some((size) => size > 1)
    return [{ name, part, path, layer, container, block: blockOf(name), isWide }]
  })
}
