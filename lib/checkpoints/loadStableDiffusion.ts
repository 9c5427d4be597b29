/** The one way from what a user names to a model in memory. */
import type { ModelPart, StableDiffusion } from '../models/stableDiffusion/stableDiffusion.ts'
import type { FloatDType } from '../tensor/dtype.ts'
import type { DeviceName } from '../tensor/tensor.ts'
import { DisposedError } from '../util/errors.ts'
import type { LoadReport } from './ldmSource.ts'
import { type ModelFingerprints, modelFingerprints } from './modelFingerprints.ts'
import { type OpenModelOptions, openModel } from './modelSource.ts'
import { deferModel, readModel, readRest } from './readPlan.ts'

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

/** A model whose parameters are read when they are first used. */
export interface DeferredModel extends LoadedModel {
  /** What its parts are told apart by, whatever is done with the models. Only while the files are open. */
  fingerprints(): Promise<ModelFingerprints>
  /**
   * Reads what has not been used by then of the parts that have not been disposed, waits for it and closes the files.
   * @throws NativeError when something cannot be read
   */
  finish(): Promise<void>
  /** Closes the files. What was not read stays so. A second call does nothing. */
  close(): Promise<void>
}

/**
 * Opens a model as {@link loadStableDiffusion} does, every tensor found and checked, and reads nothing yet: who needs its parts one
 * after the other, and gives each back before the next, never has all of them in memory. The caller closes it, after which a parameter that
 * was not read yet cannot be used.
 *
 * @throws what `loadStableDiffusion` throws
 */
export async function deferStableDiffusion(
  path: string,
  options: LoadStableDiffusionOptions = {},
): Promise<DeferredModel> {
  const source = await openModel(path, options)
  const { config, parts, report, notes } = source
  let open = true
  const close = async (): Promise<void> => {
    open = false
    await source.close()
  }
  const expectOpen = (): void => {
    if (!open) throw new DisposedError(`${path}: a parameter was first used after the file was closed; call finish()`)
  }
  try {
    const models = await deferModel(config, parts, options, expectOpen)
    const finish = async (): Promise<void> => {
      await readRest(models, options.device)
      await close()
    }
    return { models, report, notes, fingerprints: () => modelFingerprints(source), finish, close }
  } catch (error) {
    await close()
    throw error
  }
}
