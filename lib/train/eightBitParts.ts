/** Parts of a model whose matrices a training stores in 8 bits. */
import type { ModelPart, StableDiffusion } from '../models/stableDiffusion/stableDiffusion.ts'
import { narrowMatrices } from '../nn/eightBits.ts'
import { ConfigError } from '../util/errors.ts'
import type { EightBitPart, TrainConfig } from './trainConfig.ts'

/**
 * The parts that the configuration names.
 * @param trained parts whose own weights are trained
 * @throws ConfigError for one of them: its steps would be rounded away
 */
export function eightBitParts({ training }: TrainConfig, trained: readonly ModelPart[]): readonly EightBitPart[] {
  const { eightBitParts: parts = [] } = training
  const changing = parts.find((part) => trained.includes(part))
  if (changing !== undefined)
    throw new ConfigError(`training.eightBitParts names ${changing}, whose weights are trained: leave it out`, {
      option: 'eightBitParts',
    })
  return parts
}

/** Stores them so, where loading has not. */
export function narrowParts(models: StableDiffusion, parts: readonly EightBitPart[]): void {
  for (const part of parts) narrowMatrices(models[part])
}
