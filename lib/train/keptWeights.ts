/** How much memory a training spends on transformed weights of frozen convolutions. */
import type { StableDiffusion } from '../models/stableDiffusion/stableDiffusion.ts'
import { DEFAULT_TRANSFORMED_WEIGHTS_BUDGET } from '../nn/transformedWeights.ts'
import type { TrainConfig } from './trainConfig.ts'
import { deviceOf } from './trainingDevice.ts'

/** Of what is free. */
const freeShare = 1 / 8

/**
 * The most that the U-Net's frozen convolutions may keep: what was asked for, or else what a machine with so much free memory can spare.
 * @param free bytes that this process may still take, in a container too
 */
export function keptWeightsBudget(
  { training }: Pick<TrainConfig, 'training'>,
  free: number = process.availableMemory(),
): number {
  if (deviceOf({ training }) !== 'cpu') return 0
  return training.keptWeightsBytes ?? Math.min(DEFAULT_TRANSFORMED_WEIGHTS_BUDGET, Math.floor(free * freeShare))
}

/** Before the first step. Beside matrices of 8 bits none are kept: each would take sixteen times as much. */
export function limitKeptWeights({ unet, vae }: StableDiffusion, config: Pick<TrainConfig, 'training'>): void {
  const narrow = config.training.eightBitParts?.includes('unet') === true
  unet.registry.transformedWeights.budget = narrow ? 0 : keptWeightsBudget(config)
  // It encodes without, and decodes a picture now and then.
  vae.registry.transformedWeights.budget = 0
}
