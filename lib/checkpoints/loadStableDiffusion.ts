/** The one way from what a user names to a model in memory. */
import type { ModelPart, StableDiffusion } from '../models/stableDiffusion/stableDiffusion.ts'
import type { FloatDType } from '../tensor/dtype.ts'
import type { DeviceName } from '../tensor/tensor.ts'
import type { LoadReport } from './ldmSource.ts'
import { type OpenModelOptions, openModel } from './modelSource.ts'
import { readModel } from './readPlan.ts'

export interface LoadedModel {
  /** The caller disposes them. */
  readonly models: StableDiffusion
  /** What was found in a single file; null for a folder. */
  readonly report: LoadReport | null
  /** What the user should know: assumptions that were made. */
  readonly notes: readonly string[]
}

export interface LoadStableDiffusionOptions extends OpenModelOptions {
  /** Type each part is stored and computed in. Default float32. */
  readonly dtypes?: Readonly<Partial<Record<ModelPart, FloatDType>>> | undefined
  /** Parts whose matrices are stored in 8 bits (float8_e4m3fn), for parts that are not trained. Default: none. */
  readonly eightBits?: readonly ModelPart[] | undefined
  /** Where the parameters are read to. Default cpu. */
  readonly device?: DeviceName | undefined
}

/**
 * Loads Stable Diffusion 1.x or 2.x from a file (a checkpoint in one file, by any name), a folder (diffusers layout), or a model's
 * hub id, as {@link openModel} finds it.
 *
 * @throws IoError or CheckpointError naming the file and what is wrong, and what `resolveHubModel` throws; nothing stays loaded
 */
export async function loadStableDiffusion(
  path: string,
  options: LoadStableDiffusionOptions = {},
): Promise<LoadedModel> {
  const { config, parts, report, notes, close } = await openModel(path, options)
  try {
    return { models: await readModel(config, parts, options), report, notes }
  } finally {
    await close()
  }
}
