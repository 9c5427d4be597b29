/** A VAE on its own, from every form in which VAEs are passed on. */
import { Vae } from '../models/stableDiffusion/vae.ts'
import type { FloatDType } from '../tensor/dtype.ts'
import type { DeviceName } from '../tensor/tensor.ts'
import type { UnseenSizes } from './ldmConfig.ts'
import { finishReads, readPlan } from './readPlan.ts'
import { openVae } from './vaeSource.ts'

export interface LoadVaeOptions {
  /** Type it is stored and computed in. Default float32. */
  readonly dtype?: FloatDType | undefined
  /** Where the parameters are read to. Default cpu. */
  readonly device?: DeviceName | undefined
  /** What shapes do not tell; default: from the file's metadata, a `config.json` beside it, or the published models' rule. */
  readonly sizes?: UnseenSizes | undefined
}

/**
 * Loads a VAE: a diffusers folder of a VAE, or of a whole model with `vae/` in it; its weights as a file of its own; a VAE in the
 * names of single-file checkpoints, with or without `first_stage_model.`; or the VAE inside a whole checkpoint.
 *
 * @throws IoError when there is no such file; CheckpointError when it is no VAE, damaged, or lacks tensors. Nothing stays loaded.
 */
export async function loadVae(path: string, { dtype, device, sizes = {} }: LoadVaeOptions = {}): Promise<Vae> {
  const { config, plan, close } = await openVae(path, sizes)
  try {
    const source = await readPlan(plan, device)
    return await finishReads(
      () => new Vae(config, source, dtype),
      (vae) => [vae],
      device,
    )
  } finally {
    await close()
  }
}
