/** What options about noise mean together, and for a model: told before anything is encoded or trained. */
import { configPaths } from '../../checkpoints/diffusersConfig.ts'
import { noiseSchedule } from '../../diffusion/noiseSchedule.ts'
import type { StableDiffusionConfig } from '../../models/stableDiffusion/config.ts'
import { ConfigError } from '../../util/errors.ts'
import type { NoiseConfig } from '../trainConfig.ts'
import { timestepRange } from './noise.ts'

/**
 * Checks options against each other and the schedule, which has as many timesteps with any of them.
 * @returns what the user should know
 * @throws ConfigError for an adaptive scale without the offset that it changes, ArgumentError for a range of timesteps that is none
 */
export function checkNoise(
  noise: NoiseConfig,
  { name, predictionType, origin }: Pick<StableDiffusionConfig, 'name' | 'predictionType' | 'origin'>,
): readonly string[] {
  timestepRange(noise, noiseSchedule().alphasCumprod.length)
  if ((noise.adaptiveNoiseScale ?? null) !== null && (noise.noiseOffset ?? null) === null)
    throw new ConfigError('adaptive_noise_scale needs noise_offset, which it changes', {
      option: 'adaptive_noise_scale',
    })
  const stated = origin?.configs.get(configPaths.scheduler)?.get('rescale_betas_zero_snr') === true
  if (stated && !noise.zeroTerminalSnr)
    return [
      `${name} was trained with a last timestep that is noise alone ("rescale_betas_zero_snr" in its scheduler); give ` +
        'zero_terminal_snr to go on so',
    ]
  if (!noise.zeroTerminalSnr || predictionType === 'v_prediction') return []
  return [
    'zero_terminal_snr is for models that predict velocity, and this one predicts noise: at the last timestep it sees nothing ' +
      'but what it is asked for',
  ]
}
