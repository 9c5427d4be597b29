/** How much memory a training spends on transformed weights of frozen convolutions. */
import type { StableDiffusion } from '../models/stableDiffusion/stableDiffusion.ts'
import type { TrainConfig } from './trainConfig.ts'
import { deviceOf } from './trainingDevice.ts'

/** The most that the U-Net's frozen convolutions may keep, in bytes: nothing unless asked for, and nothing on a GPU. */
export function keptWeightsBudget({ training }: Pick<TrainConfig, 'training'>): number {
  return deviceOf({ training }) === 'cpu' ? (training.keptWeightsBytes ?? 0) : 0
}

/** Before the first step. Beside matrices of 8 bits none are kept: each would take sixteen times as much. */
export function limitKeptWeights({ unet, vae }: StableDiffusion, config: Pick<TrainConfig, 'training'>): void {
  const narrow = config.training.eightBitParts?.includes('unet') === true
  unet.registry.transformedWeights.budget = narrow ? 0 : keptWeightsBudget(config)
  // It encodes without, and decodes a picture now and then.
  vae.registry.transformedWeights.budget = 0
}
