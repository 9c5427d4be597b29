/** Parameter names and keys of single-file checkpoints, whole, for every part of the model. */
import type { StableDiffusionConfig } from '../../models/stableDiffusion/config.ts'
import type { ModelPart } from '../../models/stableDiffusion/stableDiffusion.ts'
import { type LdmSlot, positionIds, textEncoderKeys, textEncoderPrefixes } from './textEncoder.ts'
import { unetKeys, unetPrefix } from './unet.ts'
import { vaeKeys, vaePrefix } from './vae.ts'

export type { LdmSlot } from './textEncoder.ts'

/** One part's names in both directions. Keys have their prefixes: `first_stage_model.encoder.conv_in.weight`. */
export interface PartKeys {
  readonly prefix: string
  /** Undefined for a name that the part does not have. */
  toLdm(name: string): LdmSlot | undefined
  /** The parameters that a key holds: one, three in a fused projection, none for a key of something else. */
  toOurs(key: string): readonly string[]
}

/**
 * The keys of one part of a single-file checkpoint, a function of the model's sizes.
 * @example ldmKeys('unet', sd1).toLdm('conv_in.weight') // model.diffusion_model.input_blocks.0.0.weight
 */
export function ldmKeys(part: ModelPart, config: StableDiffusionConfig): PartKeys {
  if (part === 'textEncoder') {
    const prefix = textEncoderPrefixes[config.version]
    const keys = textEncoderKeys(config.version, config.textEncoder.layers)
    return {
      prefix,
      toLdm(name) {
        const slot = keys.toLdm(name)
        return slot && { ...slot, key: prefix + slot.key }
      },
      toOurs: (key) => (key.startsWith(prefix) ? keys.toOurs(key.slice(prefix.length)) : []),
    }
  }
  const prefix = part === 'unet' ? unetPrefix : vaePrefix
  const modules = part === 'unet' ? unetKeys(config.unet) : vaeKeys(config.vae)
  return {
    prefix,
    toLdm(name) {
      const key = modules.toLdm(name)
      return key === undefined ? undefined : { key: prefix + key, third: null }
    },
    toOurs(key) {
      const name = key.startsWith(prefix) ? modules.toOurs(key.slice(prefix.length)) : undefined
      return name === undefined ? [] : [name]
    },
  }
}

/** Whether a key holds the numbers 0 to 76 that some files store beside the text encoder. */
export function isPositionIds(key: string): boolean {
  return key.startsWith('cond_stage_model.') && key.endsWith(positionIds)
}
