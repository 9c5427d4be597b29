/** The one way from what a user names to a model in memory. */
import { stat } from 'node:fs/promises'
import { isHubId } from '../hub/hubId.ts'
import type { HubModelKind } from '../hub/modelFiles.ts'
import { type ResolveHubModelOptions, resolveHubModel } from '../hub/resolveHubModel.ts'
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

export interface LoadStableDiffusionOptions extends ModelOptions {
  /** Where and how models given by hub id are looked up. */
  readonly hub?: Omit<ResolveHubModelOptions, 'kind'> | undefined
}

/**
 * Loads Stable Diffusion 1.x or 2.x from a file (a checkpoint in one file, by any name), a folder (diffusers layout), or a model's
 * hub id (`org/name`, `org/name/path/to/file.safetensors`), which is downloaded into the cache first. Symbolic links are
 * followed. The same holds for `options.vae`.
 *
 * @throws IoError or CheckpointError naming the file and what is wrong, and what `resolveHubModel` throws; nothing stays loaded
 */
export async function loadStableDiffusion(
  path: string,
  options: LoadStableDiffusionOptions = {},
): Promise<LoadedModel> {
  const { hub, ...given } = options
  const place = await placeOf(path, 'model', hub)
  const vae = given.vae === undefined ? undefined : (await placeOf(given.vae, 'vae', hub)).path
  const modelOptions = { ...given, vae }
  if (place.isFolder) return loadFolder(place.path, modelOptions)
  const { models, report } = await loadLdmCheckpoint(place.path, modelOptions)
  return { models, report, notes: report.notes }
}

interface Place {
  readonly path: string
  readonly isFolder: boolean
}

/** The file or folder that a user's words name, links followed: what exists on this machine, or else a hub id. */
async function placeOf(words: string, kind: HubModelKind, hub: LoadStableDiffusionOptions['hub'] = {}): Promise<Place> {
  const isFolder = async (path: string): Promise<boolean> => (await stat(path)).isDirectory()
  try {
    return { path: words, isFolder: await isFolder(words) }
  } catch (error) {
    if (systemErrorCode(error) !== 'ENOENT') throw toIoError(words, 'open', error)
  }
  if (!isHubId(words)) {
    const what =
      kind === 'vae' ? 'a VAE as a file or a folder' : 'a checkpoint file or a folder in the diffusers layout'
    throw new CheckpointError(words, `no such file or folder; expected ${what}, or a hub id`)
  }
  const { path } = await resolveHubModel(words, { ...hub, kind })
  return { path, isFolder: await isFolder(path) }
}

async function loadFolder(folder: string, options: ModelOptions): Promise<LoadedModel> {
  const { dtypes = {}, vParameterization } = options
  // A folder with a scheduler says what it predicts; one without takes it from here.
  const said = vParameterization === undefined ? undefined : vParameterization ? 'v_prediction' : 'epsilon'
  const models = await loadDiffusersFolder(folder, { dtypes, predictionType: said })
  try {
    checkFolder(folder, models, options)
    if (options.vae !== undefined)
      models.replaceVae(await loadVae(options.vae, { dtype: options.dtypes?.vae, sizes: options.sizes }))
    return { models, report: null, notes: models.config.origin?.notes ?? [] }
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
