/** Stable Diffusion 1.x and 2.x from one file in the layout of the original latent-diffusion code. */
import { openTensorFile } from '../io/openTensorFile.ts'
import type { TensorFile } from '../io/tensorFile.ts'
import type { PredictionType, StableDiffusionConfig } from '../models/stableDiffusion/config.ts'
import { type ModelPart, StableDiffusion } from '../models/stableDiffusion/stableDiffusion.ts'
import type { FloatDType } from '../tensor/dtype.ts'
import { CheckpointError } from '../util/errors.ts'
import { type CheckpointReport, detectCheckpoint, partOfKey } from './detect.ts'
import { finishReads } from './finishReads.ts'
import { KeyedFile } from './keyedFile.ts'
import { isPositionIds, ldmKeys } from './keys/ldmKeys.ts'
import { textEncoderPrefixes } from './keys/textEncoder.ts'
import { sizesOfMetadata, textConfigOf, type UnseenSizes, unetConfigOf, vaeConfigOf } from './ldmConfig.ts'
import { openVaeFile, planLdmVae, planVae, unknownTensors, type VaePlan } from './loadVae.ts'
import { parameterRequests } from './parameterList.ts'
import { PartPlan, refuseProblems } from './partPlan.ts'
import { type PredictionStatement, sidecarPrediction } from './predictionType.ts'

export interface ModelOptions {
  /** The model must be 2.x (true) or 1.x (false). Default: whatever the file is. */
  readonly v2?: boolean | undefined
  /** The model predicts velocity (true) or noise (false). Default: what the file states; noise where it states nothing. */
  readonly vParameterization?: boolean | undefined
  /** Another VAE in place of the model's own: see {@link loadVae}. */
  readonly vae?: string | undefined
  /** Type each part is stored and computed in. Default float32. */
  readonly dtypes?: Readonly<Partial<Record<ModelPart, FloatDType>>> | undefined
  /** What shapes do not tell, for models of unusual proportions. */
  readonly sizes?: UnseenSizes | undefined
}

/** What was found in a single file, and what was made of it. */
export interface LoadReport extends CheckpointReport {
  readonly predictionType: PredictionType
  /** Keys of the file that no parameter came from: averages, schedules, the unused layer of 2.x. */
  readonly unused: readonly string[]
  /** What the user should know: assumptions that were made. */
  readonly notes: readonly string[]
}

export interface LoadedCheckpoint {
  /** The caller disposes them. */
  readonly models: StableDiffusion
  readonly report: LoadReport
}

/**
 * Loads a single-file checkpoint of Stable Diffusion 1.x or 2.x. Sizes come from the shapes, so small models of the same
 * structure load as well. Every tensor is found and checked before the first one is read, and each is read and converted on
 * its own. Averaged (EMA) weights are not used.
 *
 * Keys cannot tell what a model predicts. In this order: metadata (`modelspec.prediction_type`, `modelspec.architecture`), a
 * tensor `v_pred`, a `.yaml` of the same name beside the file; else `vParameterization`, else noise (`report.notes` says when
 * that is a guess).
 *
 * @throws IoError when the file cannot be read
 * @throws CheckpointError when it is something else, contradicts the options, or tensors are missing or have another shape or
 *   type; nothing stays loaded then
 */
export async function loadLdmCheckpoint(path: string, options: ModelOptions = {}): Promise<LoadedCheckpoint> {
  const file = await openTensorFile(path)
  let vaeFile: TensorFile | null = null
  try {
    const keyed = new KeyedFile(file)
    const detected = detectCheckpoint(file)
    const version = expectStableDiffusion(detected, options)
    const prediction = resolvePrediction(detected, version, await sidecarPrediction(path), options)
    const sizes = { ...sizesOfMetadata(file), ...options.sizes }
    if (options.vae !== undefined) vaeFile = await openVaeFile(options.vae)
    const vae = vaeFile === null ? ownVae(keyed, sizes) : await planVae(vaeFile, options.sizes ?? {})
    const config: StableDiffusionConfig = {
      name: path,
      version,
      predictionType: prediction.value,
      unet: unetConfigOf(keyed, version, sizes),
      textEncoder: textConfigOf(keyed, version, sizes),
      vae: vae.config,
    }
    if (config.unet.crossAttentionDim !== config.textEncoder.hiddenSize)
      throw new CheckpointError(
        path,
        `the U-Net attends to ${config.unet.crossAttentionDim} features and the text encoder has ${config.textEncoder.hiddenSize}: they are not of one model`,
      )
    const plans = { ...planOwn(keyed, config, vae), vae }
    for (const plan of Object.values(plans)) await plan.plan.readAhead()
    const source = (part: ModelPart) => plans[part].plan.source
    const models = await finishReads(() => new StableDiffusion(config, source, options.dtypes ?? {}))
    const used = new Set(Object.values(plans).flatMap(({ plan }) => (plan.file === keyed ? [...plan.used] : [])))
    const unused = keyed.names.filter((key) => !used.has(key) && !isPositionIds(key))
    const { notes } = prediction
    return { models, report: { ...detected, version, predictionType: prediction.value, unused, notes } }
  } finally {
    await vaeFile?.close()
    await file.close()
  }
}

/** The model's own VAE. */
function ownVae(file: KeyedFile, sizes: UnseenSizes): VaePlan {
  const config = vaeConfigOf(file, 'ldm', sizes)
  return { config, ...planLdmVae(file, config) }
}

type Plans = Readonly<Record<'unet' | 'textEncoder', { readonly plan: PartPlan }>>

/** Finds the tensors of U-Net and text encoder. @throws CheckpointError for everything wrong with them, at once */
function planOwn(file: KeyedFile, config: StableDiffusionConfig, vae: VaePlan): Plans {
  const problems: string[] = []
  const planned = (part: 'unet' | 'textEncoder') => {
    const keys = ldmKeys(part, config)
    return { plan: new PartPlan(file, parameterRequests(part, config), (name) => [keys.toLdm(name)!], problems) }
  }
  const plans = { unet: planned('unet'), textEncoder: planned('textEncoder') }
  problems.push(...unknownTensors(file, plans.unet.plan.used, (key) => partOfKey(key) === 'unet'))
  if (vae.plan.file === file) problems.push(...vae.problems)
  else if (vae.problems.length > 0) throw refuseProblems(vae.plan.file.path, 'the VAE', vae.problems)
  if (problems.length > 0) throw refuseProblems(file.path, `Stable Diffusion ${config.version}.x`, problems)
  return plans
}

const kindAdvice: Readonly<Partial<Record<CheckpointReport['kind'], string>>> = {
  lora: '; give the model that it was trained for',
  textualInversion: '; give the model that it was trained for',
  diffusersUNet: '; give the folder of the whole model',
  diffusersVae: '; give it as the VAE, beside a model',
  ldmVae: '; give it as the VAE, beside a model',
}

/** Refuses everything but a whole 1.x or 2.x checkpoint of the version asked for. */
function expectStableDiffusion(report: CheckpointReport, { v2, vae }: ModelOptions): 1 | 2 {
  const { path, kind, description, refusal, version, parts } = report
  const expected = 'expected a checkpoint of Stable Diffusion 1.x or 2.x'
  if (kind !== 'stableDiffusion' || refusal !== null)
    throw new CheckpointError(
      path,
      `${expected}, found ${description}${kindAdvice[kind] ?? (kind === 'foreign' || refusal !== null ? `, which is not supported: ${refusal}` : '')}`,
    )
  if (v2 !== undefined && version !== null && v2 !== (version === 2)) {
    const given = v2 ? '--v2 was given (v2: true)' : 'v2: false was given'
    throw new CheckpointError(
      path,
      `${given}, but this is Stable Diffusion ${version}.x: ${evidence(report, version)}; ${v2 ? 'leave --v2 out' : 'give --v2, or leave it out'}`,
    )
  }
  if (parts.textEncoder === null || version === null)
    throw new CheckpointError(path, `it has a U-Net and no text encoder; ${expected} with one (cond_stage_model.*)`)
  if (parts.vae === null && vae === undefined)
    throw new CheckpointError(path, 'it has no VAE (first_stage_model.*); give one with --vae')
  return version
}

function evidence({ parts }: CheckpointReport, version: 1 | 2): string {
  return parts.textEncoder === null
    ? 'the width of its cross-attention says so'
    : `its text encoder has "${textEncoderPrefixes[version]}" keys`
}

function resolvePrediction(
  report: CheckpointReport,
  version: 1 | 2,
  sidecar: PredictionStatement | null,
  { vParameterization }: ModelOptions,
): { readonly value: PredictionType; readonly notes: readonly string[] } {
  const stated = report.prediction ?? sidecar
  const asked = vParameterization === undefined ? undefined : vParameterization ? 'v_prediction' : 'epsilon'
  if (stated !== null && asked !== undefined && asked !== stated.value) {
    const given = vParameterization ? '--v_parameterization was given' : 'vParameterization: false was given'
    throw new CheckpointError(
      report.path,
      `${given}, but the model predicts ${stated.value}: ${stated.source} says so; leave the option out, or correct what is stated`,
    )
  }
  const value = stated?.value ?? asked ?? 'epsilon'
  const guessed = stated === null && asked === undefined && version === 2
  const notes = guessed
    ? [
        `${report.path}: what this 2.x model predicts is not stored in the file; assumed noise (epsilon), as the 512-pixel base ` +
          'models do. Give --v_parameterization for a 768-pixel v-prediction model',
      ]
    : []
  return { value, notes }
}
