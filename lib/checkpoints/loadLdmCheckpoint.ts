/** Stable Diffusion 1.x and 2.x from one file in the layout of the original latent-diffusion code. */
import type { ModelPart, StableDiffusion } from '../models/stableDiffusion/stableDiffusion.ts'
import type { FloatDType } from '../tensor/dtype.ts'
import type { DeviceName } from '../tensor/tensor.ts'
import { type LoadReport, openLdmCheckpoint } from './ldmSource.ts'
import type { ModelOptions } from './modelSource.ts'
import { readModel } from './readPlan.ts'

export interface LoadLdmOptions extends ModelOptions {
  /** Type each part is stored and computed in. Default float32. */
  readonly dtypes?: Readonly<Partial<Record<ModelPart, FloatDType>>> | undefined
  /** Where the parameters are read to. Default cpu. */
  readonly device?: DeviceName | undefined
}

export interface LoadedCheckpoint {
  /** The caller disposes them. */
  readonly models: StableDiffusion
  readonly report: LoadReport
}

/**
 * Loads a single-file checkpoint of Stable Diffusion 1.x or 2.x: {@link openLdmCheckpoint} finds and checks every tensor before the
 * first one is read, and each is read and converted on its own.
 *
 * @throws what `openLdmCheckpoint` throws, and IoError when a tensor cannot be read; nothing stays loaded then
 */
export async function loadLdmCheckpoint(path: string, options: LoadLdmOptions = {}): Promise<LoadedCheckpoint> {
  const { config, parts, report, close } = await openLdmCheckpoint(path, options)
  try {
    return { models: await readModel(config, parts, options), report }
  } finally {
    await close()
  }
}
