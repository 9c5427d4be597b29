import type { ClipTokenizer } from '../../models/clip/tokenizer.ts'
import type { StableDiffusion } from '../../models/stableDiffusion/stableDiffusion.ts'
import { LoraNetwork, type LoraOptions } from '../../networks/lora.ts'
import { ArgumentError } from '../../util/errors.ts'
import { NetworkMethod, type NetworkMethodOptions } from './network.ts'

export interface LoraMethodOptions extends LoraOptions, NetworkMethodOptions {
  readonly trainUnet: boolean
}

/** Trains a new LoRA beside U-Net, text encoder or both. */
export class LoraMethod extends NetworkMethod<LoraNetwork> {
  /** @throws ArgumentError when neither part is trained, or captions shall be cached of a text encoder that learns */
  constructor(models: StableDiffusion, tokenizer: ClipTokenizer, options: LoraMethodOptions) {
    const { trainUnet, trainTextEncoder } = options
    if (!trainUnet && !trainTextEncoder)
      throw new ArgumentError('LoraMethod', 'trainUnet', 'on, or trainTextEncoder', 'neither: nothing would be trained')
    const parts = {
      ...(trainTextEncoder ? { textEncoder: models.textEncoder } : {}),
      ...(trainUnet ? { unet: models.unet } : {}),
    }
    super(models.textEncoder, tokenizer, new LoraNetwork(parts, options), options)
  }
}
