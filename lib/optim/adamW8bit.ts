import { AdamW, type AdamWSettings } from './adamW.ts'
import type { ParameterGroup } from './optimizer.ts'

export interface AdamW8bitSettings extends AdamWSettings {
  /** Parameters with fewer elements keep float32 moments. Default 4096. */
  readonly min8bitSize: number
  /** Decay the stepped parameter, as the GPU kernels of the common implementation do, instead of the old one. Default false. */
  readonly decayAfter: boolean
}

/**
 * AdamW with 8-bit moments (Dettmers et al., "8-bit optimizers via block-wise quantization", 2022): 2.03 bytes for each parameter
 * instead of 8. The step itself uses the exact new moments; only what is kept for the next one is rounded. An element whose gradient
 * is not finite is left alone.
 */
export class AdamW8bit extends AdamW {
  constructor(groups: readonly ParameterGroup<AdamWSettings>[], settings: Partial<AdamW8bitSettings> = {}) {
    const { min8bitSize = 4096, decayAfter = false, ...rest } = settings
    super(groups, rest, {
      name: 'adamW8bit',
      codes: ({ master }) => master.size >= min8bitSize,
      decayAfter,
      skipInvalid: true,
    })
  }
}
