/** The one way from what a user names to a model in memory. */
import { stat } from 'node:fs/promises'
import { systemErrorCode, toIoError } from '../io/systemError.ts'
import type { StableDiffusion } from '../models/stableDiffusion/stableDiffusion.ts'
import { CheckpointError } from '../util/errors.ts'
import { loadDiffusersFolder } from './diffusersFolder.ts'
import { type LoadReport, loadLdmCheckpoint, type ModelOptions } from './loadLdmCheckpoint.ts'
import { loadVae } from './loadVae.ts'

export type { LoadReport, ModelOptions } from './loadLdmCheckpoint.ts'

export interface LoadedModel {
  /** The caller disposes them. */
  readonly models: StableDiffusion
  /** What was found in a single file; null for a folder. */
  readonly report: LoadReport | null
  /** What the user should know: assumptions that were made. */
  readonly notes: readonly string[]
}

/**
 * Loads Stable Diffusion 1.x or 2.x from a file (a checkpoint in one file, by any name) or a folder (diffusers layout). Symbolic
 * links are followed first.
 *
 * @throws IoError or CheckpointError naming the file and what is wrong; nothing stays loaded then
 */
export async function loadStableDiffusion(path: string, options: ModelOptions = {}): Promise<LoadedModel> {
  const isFolder = await isExistingFolder(path)
  if (isFolder) return loadFolder(path, options)
  const { models, report } = await loadLdmCheckpoint(path, options)
  return { models, report, notes: report.notes }
}

/** Whether a user's words name a folder or a file, links followed. Ids of models on a hub (`org/name`) name neither. */
async function isExistingFolder(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory()
  } catch (error) {
    if (systemErrorCode(error) !== 'ENOENT') throw toIoError(path, 'open', error)
    const expected = 'a checkpoint file or a folder in the diffusers layout'
    throw new CheckpointError(path, `no such file or folder; expected ${expected}`)
  }
}

async function loadFolder(folder: string, options: ModelOptions): Promise<LoadedModel> {
  const models = await loadDiffusersFolder(folder, options.dtypes === undefined ? {} : { dtypes: options.dtypes })
  try {
    checkFolder(folder, models, options)
    if (options.vae !== undefined)
      models.replaceVae(await loadVae(options.vae, { dtype: options.dtypes?.vae, sizes: options.sizes }))
    return { models, report: null, notes: [] }
  } catch (error) {
    models.dispose()
    throw error
  }
}

/** A folder's configuration files say what it is; options may only agree. */
function checkFolder(folder: string, { config }: StableDiffusion, { v2, vParameterization }: ModelOptions): void {
  if (v2 !== undefined && v2 !== (config.version === 2))
    throw new CheckpointError(
      folder,
      `${v2 ? '--v2' : 'v2: false'} was given, but this is Stable Diffusion ${config.version}.x: text_encoder/config.json says so`,
    )
  if (vParameterization !== undefined && vParameterization !== (config.predictionType === 'v_prediction'))
    throw new CheckpointError(
      folder,
      `${vParameterization ? '--v_parameterization' : 'vParameterization: false'} was given, but the model predicts ${config.predictionType}: scheduler/scheduler_config.json says so`,
    )
}
