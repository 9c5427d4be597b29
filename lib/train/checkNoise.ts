/** What options about noise mean together, and for a model: told before anything is encoded or trained. */
import { noiseSchedule } from '../diffusion/noiseSchedule.ts'
import type { PredictionType } from '../models/stableDiffusion/config.ts'
import { ConfigError } from '../util/errors.ts'
import { timestepRange } from './noise.ts'
import type { NoiseConfig } from './trainConfig.ts'

/**
 * Checks options against each other and the schedule, which has as many timesteps with any of them.
 * @returns what the user should know
 * @throws ConfigError for an adaptive scale without the offset that it changes, ArgumentError for a range of timesteps that is none
 */
export function checkNoise(noise: NoiseConfig, predictionType: PredictionType): readonly string[] {
  timestepRange(noise, noiseSchedule().alphasCumprod.length)
  if ((noise.adaptiveNoiseScale ?? null) !== null && (noise.noiseOffset ?? null) === null)
    throw new ConfigError('adaptive_noise_scale needs noise_offset, which it changes', {
      option: 'adaptive_noise_scale',
    })
  if (!noise.zeroTerminalSnr || predictionType === 'v_prediction') return []
  return [
    'zero_terminal_snr is for models that predict velocity, and this one predicts noise: at the last timestep it sees nothing ' +
      'but what it is asked for',
  ]
}
