/** The one way from what a user names to a model in files: found and checked, nothing read, nothing on the device. */
import { stat } from 'node:fs/promises'
import { isHubId } from '../hub/hubId.ts'
import type { HubModelKind } from '../hub/modelFiles.ts'
import { type ResolveHubModelOptions, resolveHubModel } from '../hub/resolveHubModel.ts'
import { recoverFolder } from '../io/replacedFolders.ts'
import { systemErrorCode, toIoError } from '../io/systemError.ts'
import type { StableDiffusionConfig } from '../models/stableDiffusion/config.ts'
import type { ModelPart } from '../models/stableDiffusion/stableDiffusion.ts'
import { CheckpointError } from '../util/errors.ts'
import { openDiffusersFolder } from './folderSource.ts'
import type { KeyedFile } from './keyedFile.ts'
import type { UnseenSizes } from './ldmConfig.ts'
import { type LoadReport, openLdmCheckpoint } from './ldmSource.ts'
import type { PartPlan } from './partPlan.ts'
import { shippedModelName, withShippedModel } from './shippedModel.ts'

export const modelParts = ['unet', 'textEncoder', 'vae'] as const satisfies readonly ModelPart[]

export interface ModelOptions {
  /** The model must be 2.x (true) or 1.x (false). Default: whatever the file is. */
  readonly v2?: boolean | undefined
  /** The model predicts velocity (true) or noise (false). Default: what the file states; noise where it states nothing. */
  readonly vParameterization?: boolean | undefined
  /** Another VAE in place of the model's own: see {@link loadVae}. */
  readonly vae?: string | undefined
  /** What shapes do not tell, for models of unusual proportions. */
  readonly sizes?: UnseenSizes | undefined
}

export interface OpenModelOptions extends ModelOptions {
  /** `'fp16'`: take `*.fp16.safetensors` where a part of a folder has it. Default: plain files, or the only variant there is. */
  readonly variant?: string | undefined
  /** Where and how models given by hub id are looked up. */
  readonly hub?: Omit<ResolveHubModelOptions, 'kind' | 'variant'> | undefined
}

/** A whole model in open files. */
export interface ModelSource {
  /** The file or folder. */
  readonly path: string
  readonly config: StableDiffusionConfig
  /** Where every parameter lies. */
  readonly parts: Readonly<Record<ModelPart, PartPlan>>
  /** A single file, whose other tensors and metadata are kept when it is written again; null for a folder. */
  readonly single: KeyedFile | null
  /** What was found in a single file; null for a folder. */
  readonly report: LoadReport | null
  /** What the user should know: assumptions that were made. */
  readonly notes: readonly string[]
  /** Closes its files. */
  close(): Promise<void>
}

/**
 * Opens Stable Diffusion 1.x or 2.x: a file (a checkpoint in one file, by any name), a folder (diffusers layout), `miniature`, the
 * model that comes with the package, or a model's hub id (`org/name`, `org/name/path/to/file.safetensors`), which is downloaded into
 * the cache first. Symbolic links are followed. The same holds for `options.vae`. The caller closes it.
 *
 * @throws IoError or CheckpointError naming the file and what is wrong, and what `resolveHubModel` throws
 */
export async function openModel(words: string, options: OpenModelOptions = {}): Promise<ModelSource> {
  const { hub, variant, ...given } = options
  const place = await placeOf(words, 'model', { ...hub, variant })
  const vae = given.vae === undefined ? undefined : (await placeOf(given.vae, 'vae', hub)).path
  const modelOptions = { ...given, vae }
  if (!place.isFolder) return openLdmCheckpoint(place.path, modelOptions)
  return openDiffusersFolder(place.path, { ...modelOptions, variant })
}

interface Place {
  readonly path: string
  readonly isFolder: boolean
}

/** The file or folder that a user's words name, links followed: what exists on this machine, the shipped model, or else a hub id. */
async function placeOf(given: string, kind: HubModelKind, hub: ResolveHubModelOptions = {}): Promise<Place> {
  const words = await withShippedModel(given)
  await recoverFolder(words)
  const isFolder = async (path: string): Promise<boolean> => (await stat(path)).isDirectory()
  try {
    return { path: words, isFolder: await isFolder(words) }
  } catch (error) {
    if (systemErrorCode(error) !== 'ENOENT') throw toIoError(words, 'open', error)
  }
  if (!isHubId(words)) {
    const what =
      kind === 'vae' ? 'a VAE as a file or a folder' : 'a checkpoint file or a folder in the diffusers layout'
    throw new CheckpointError(words, `no such file or folder; expected ${what}, a hub id, or '${shippedModelName}'`)
  }
  const { path } = await resolveHubModel(words, { ...hub, kind })
  return { path, isFolder: await isFolder(path) }
}
