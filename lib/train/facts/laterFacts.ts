/** What the metadata of networks records beside the facts of the reference era, by the keys of later versions of sd-scripts. */
import type { StableDiffusionConfig } from '../../models/stableDiffusion/config.ts'
import { float, type PythonValue } from '../../networks/pythonText.ts'
import type { TrainNetworkConfig } from '../trainConfig.ts'

export function laterFacts(config: TrainNetworkConfig, model: StableDiffusionConfig): Record<string, PythonValue> {
  const { noise = {}, validation, training } = config
  const loss = typeof config.loss === 'function' ? {} : (config.loss ?? {})
  const eightBits = training.eightBitParts ?? []
  const hasTextEncoder = eightBits.includes('textEncoder')
  return {
    ss_base_model_version: `sd_v${model.version}${model.predictionType !== 'epsilon' ? '_v' : ''}`,
    ss_zero_terminal_snr: noise.zeroTerminalSnr ?? false,
    ss_ip_noise_gamma: float(noise.ipNoiseGamma),
    ss_ip_noise_gamma_random_strength: noise.ipNoiseGammaRandomStrength ?? false,
    ss_noise_offset_random_strength: noise.noiseOffsetRandomStrength ?? false,
    ss_debiased_estimation: loss.debiasedEstimation ?? false,
    ss_loss_type: loss.type ?? 'l2',
    ss_huber_schedule: loss.huberSchedule ?? 'snr',
    ss_huber_c: float(loss.huberC ?? 0.1),
    ss_huber_scale: float(loss.huberScale ?? 1),
    ss_fp8_base: hasTextEncoder,
    ss_fp8_base_unet: eightBits.includes('unet') && !hasTextEncoder,
    ss_validation_split: float(validation?.split ?? 0),
    ss_validation_seed: validation?.seed ?? null,
    ss_max_validation_steps: validation?.maxBatches ?? null,
    ss_validate_every_n_epochs: validation?.everyEpochs ?? null,
    ss_validate_every_n_steps: validation?.everySteps ?? null,
  }
}
