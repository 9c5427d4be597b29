/** Stable Diffusion in a folder in the layout of the diffusers library: found and checked, not read. */
import { stat } from 'node:fs/promises'
import { recoverFolder } from '../io/replacedFolders.ts'
import type { TensorFile } from '../io/tensorFile.ts'
import type { PredictionType, StableDiffusionConfig } from '../models/stableDiffusion/config.ts'
import { parameterShapes } from '../models/stableDiffusion/parameterShapes.ts'
import type { ModelPart } from '../models/stableDiffusion/stableDiffusion.ts'
import { CheckpointError } from '../util/errors.ts'
import { didYouMean } from '../util/nearest.ts'
import { readDiffusersConfig } from './diffusersConfig.ts'
import { KeyedFile } from './keyedFile.ts'
import { oldVaeNames } from './keys/vae.ts'
import type { ModelOptions, ModelSource } from './modelSource.ts'
import { PartPlan, refuseProblems } from './partPlan.ts'
import { findPartWeights, listVariants, openPartWeights, type PartWeights } from './partWeights.ts'
import { openVae, unknownTensors } from './vaeSource.ts'

/** Other names that a parameter may have in the files of a part. */
const aliases: Readonly<Record<ModelPart, (name: string) => readonly string[]>> = {
  unet: () => [],
  // transformers 5 writes the text encoder without the outer module's name.
  textEncoder: (name) => [name.replace(/^text_model\./, '')],
  vae: oldVaeNames,
}

export interface FindWeightsOptions {
  /** `'fp16'`: take `*.fp16.safetensors` where a part has it. Default: plain files, or the only variant there is. */
  readonly variant?: string | undefined
}

/**
 * The weight files of each part of a diffusers folder.
 *
 * @throws IoError when a part has none; CheckpointError when no part has the variant asked for
 */
export async function findWeights(
  folder: string,
  { variant }: FindWeightsOptions = {},
): Promise<Readonly<Record<ModelPart, PartWeights>>> {
  if (variant !== undefined) {
    const variants = await listVariants(folder)
    if (!variants.includes(variant))
      throw new CheckpointError(
        folder,
        `expected weights in the variant "${variant}", found ${variants.length === 0 ? 'plain ones only' : variants.join(', ')}.${didYouMean(variant, variants)}`,
      )
  }
  const find = (part: ModelPart): Promise<PartWeights> => findPartWeights(folder, part, { variant })
  const [unet, textEncoder, vae] = await Promise.all([find('unet'), find('textEncoder'), find('vae')])
  return { unet, textEncoder, vae }
}

export interface OpenFolderOptions extends ModelOptions, FindWeightsOptions {
  /** What the U-Net predicts, for a folder without a scheduler. Default: what `vParameterization` says. */
  readonly predictionType?: PredictionType | undefined
}

/**
 * Opens a diffusers folder: `unet/`, `text_encoder/`, `vae/`, each with a configuration and weights in
 * `.safetensors` or `.bin` files, in one or in shards; `scheduler/` and `tokenizer/` are kept for saving
 * (`config.origin`). Files may be symbolic links, as in the cache of the hub's library. The caller closes it.
 *
 * @throws IoError for a missing file; CheckpointError for a damaged one, missing tensors or ones of another shape, settings
 *   that are not computed here, a model of another family, or one that contradicts the options
 */
export async function openDiffusersFolder(folder: string, options: OpenFolderOptions = {}): Promise<ModelSource> {
  await recoverFolder(folder)
  const found = await stat(folder).catch(() => null)
  if (!found?.isDirectory())
    throw new CheckpointError(
      folder,
      found
        ? 'is a file; expected a folder in the diffusers layout (unet/, text_encoder/, vae/, scheduler/). Use loadStableDiffusion for checkpoint files'
        : 'no such folder; expected a model in the diffusers layout (unet/, text_encoder/, vae/, scheduler/)',
    )
  const { variant, vParameterization } = options
  // A folder with a scheduler says what it predicts; one without takes it from here.
  const said = vParameterization === undefined ? undefined : vParameterization ? 'v_prediction' : 'epsilon'
  const config = await readDiffusersConfig(folder, { predictionType: options.predictionType ?? said })
  checkFolder(folder, config, options)
  const weights = await findWeights(folder, { variant })
  const open: { close(): Promise<void> }[] = []
  const close = async (): Promise<void> => {
    for (const file of open) await file.close()
  }
  try {
    const plan = async (part: ModelPart): Promise<PartPlan> => {
      const file = await openPartWeights(weights[part])
      open.push(file)
      return planPart(file, part, config)
    }
    const [unet, textEncoder] = [await plan('unet'), await plan('textEncoder')]
    const common = { path: folder, single: null, report: null, notes: config.origin?.notes ?? [], close }
    if (options.vae === undefined) return { ...common, config, parts: { unet, textEncoder, vae: await plan('vae') } }
    const vae = await openVae(options.vae, options.sizes)
    open.push(vae)
    return { ...common, config: { ...config, vae: vae.config }, parts: { unet, textEncoder, vae: vae.plan } }
  } catch (error) {
    await close()
    throw error
  }
}

/** Finds and checks one part. Weights that no layer takes belong to a network that computes something else. */
function planPart(file: TensorFile, part: ModelPart, config: StableDiffusionConfig): PartPlan {
  const problems: string[] = []
  const keyed = new KeyedFile(file, (name) => name)
  const slots = (name: string) => [name, ...aliases[part](name)].map((key) => ({ key, third: null }))
  const plan = new PartPlan(keyed, parameterShapes(part, config), slots, problems)
  if (part !== 'textEncoder') problems.push(...unknownTensors(keyed, plan.used, () => true))
  if (problems.length > 0) throw refuseProblems(file.path, 'the model described by the configuration', problems)
  return plan
}

/** A folder's configuration files say what it is; options may only agree. */
function checkFolder(
  folder: string,
  config: StableDiffusionConfig,
  { v2, vParameterization }: Pick<ModelOptions, 'v2' | 'vParameterization'>,
): void {
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
