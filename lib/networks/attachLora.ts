import type { LoraBranch } from '../nn/linear.ts'
import { branchOf, type LoraLayer, type LoraModels, layerFinder } from './layers.ts'
import type { LoraFile } from './loraFile.ts'

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
  const made = new Map<LoraLayer, LoraBranch>()
  const free = (): void => {
    for (const { down, up } of made.values()) {
      down.dispose()
      up.dispose()
    }
  }
  try {
    for (const { layer: place, rank, alpha, down, up } of lora.modules) {
      const layer = find(place)
      if (layer === null) continue
      const values = {
        rank,
        down: await down.read(),
        up: await up.read(),
        scale: (strength[place.part] * alpha) / rank,
      }
      made.set(layer, branchOf(layer, values))
    }
  } catch (error) {
    free()
    throw error
  }
  const before = new Map([...made.keys()].map((layer) => [layer, layer.lora]))
  for (const [layer, branch] of made) layer.lora = branch
  return () => {
    for (const [layer, branch] of before) layer.lora = branch
    free()
  }
}
