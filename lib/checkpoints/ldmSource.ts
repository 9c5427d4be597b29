/** Stable Diffusion in one file in the layout of the original latent-diffusion code: found and checked, not read. */
import { openTensorFile } from '../io/openTensorFile.ts'
import type { PredictionType, StableDiffusionConfig } from '../models/stableDiffusion/config.ts'
import { parameterShapes } from '../models/stableDiffusion/parameterShapes.ts'
import { CheckpointError } from '../util/errors.ts'
import { type CheckpointReport, detectCheckpoint, partOfKey } from './detect.ts'
import { KeyedFile } from './keyedFile.ts'
import { isPositionIds, ldmKeys } from './keys/ldmKeys.ts'
import { textEncoderPrefixes } from './keys/textEncoder.ts'
import { sizesOfMetadata, textConfigOf, type UnseenSizes, unetConfigOf, vaeConfigOf } from './ldmConfig.ts'
import type { ModelOptions, ModelSource } from './modelSource.ts'
import { PartPlan, refuseProblems } from './partPlan.ts'
import { type PredictionStatement, sidecarPrediction } from './predictionType.ts'
import { openVae, planLdmVae, unknownTensors, type VaePlan } from './vaeSource.ts'

/** What was found in a single file, and what was made of it. */
export interface LoadReport extends CheckpointReport {
  readonly predictionType: PredictionType
  /** Keys of the file that no parameter came from: averages, schedules, the unused layer of 2.x. */
  readonly unused: readonly string[]
  /** What the user should know: assumptions that were made. */
  readonly notes: readonly string[]
}

/** A single-file checkpoint in an open file. */
export type LdmSource = ModelSource & { readonly single: KeyedFile; readonly report: LoadReport }

/**
 * Opens a single-file checkpoint of Stable Diffusion 1.x or 2.x. Sizes come from the shapes, so small models of the same
 * structure open as well. Every tensor is found and checked. Averaged (EMA) weights are not used. The caller closes it.
 *
 * Keys cannot tell what a model predicts. In this order: metadata (`modelspec.prediction_type`, `modelspec.architecture`), a
 * tensor `v_pred`, a `.yaml` of the same name beside the file; else `vParameterization`, else noise (`report.notes` says when
 * that is a guess).
 *
 * @throws IoError when the file cannot be read
 * @throws CheckpointError when it is something else, contradicts the options, or tensors are missing or have another shape or type
 */
export async function openLdmCheckpoint(path: string, options: ModelOptions = {}): Promise<LdmSource> {
  const file = await openTensorFile(path)
  const open: { close(): Promise<void> }[] = [file]
  const close = async (): Promise<void> => {
    for (const item of open) await item.close()
  }
  try {
    const keyed = new KeyedFile(file)
    const detected = detectCheckpoint(file)
    const version = expectStableDiffusion(detected, options)
    const prediction = resolvePrediction(detected, version, await sidecarPrediction(path), options)
    const sizes = { ...sizesOfMetadata(file), ...options.sizes }
    const other = options.vae === undefined ? null : await openVae(options.vae, options.sizes)
    if (other !== null) open.push(other)
    const vae: VaePlan = other === null ? ownVae(keyed, sizes) : { ...other, problems: [] }
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
    const parts = { ...planOwn(keyed, config, vae), vae: vae.plan }
    const used = new Set(Object.values(parts).flatMap((plan) => (plan.file === keyed ? [...plan.used] : [])))
    const unused = keyed.names.filter((key) => !used.has(key) && !isPositionIds(key))
    const { notes } = prediction
    const report = { ...detected, version, predictionType: prediction.value, unused, notes }
    return { path, config, parts, single: keyed, report, notes, close }
  } catch (error) {
    await close()
    throw error
  }
}

/** The model's own VAE. */
function ownVae(file: KeyedFile, sizes: UnseenSizes): VaePlan {
  const config = vaeConfigOf(file, 'ldm', sizes)
  return { config, ...planLdmVae(file, config) }
}

type Plans = Readonly<Record<'unet' | 'textEncoder', PartPlan>>

/** Finds the tensors of U-Net and text encoder. @throws CheckpointError for everything wrong with them, at once */
function planOwn(file: KeyedFile, config: StableDiffusionConfig, vae: VaePlan): Plans {
  const problems: string[] = []
  const planned = (part: 'unet' | 'textEncoder'): PartPlan => {
    const keys = ldmKeys(part, config)
    return new PartPlan(file, parameterShapes(part, config), (name) => [keys.toLdm(name)!], problems)
  }
  const plans = { unet: planned('unet'), textEncoder: planned('textEncoder') }
  problems.push(...unknownTensors(file, plans.unet.used, (key) => partOfKey(key) === 'unet'))
  problems.push(...vae.problems)
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
  if (stated !== null) return { value, notes: [] }
  if (version === 2 && asked === undefined) {
    const note =
      `${report.path}: what this 2.x model predicts is not stored in the file; assumed noise (epsilon), as the 512-pixel base ` +
      'models do. Give --v_parameterization for a 768-pixel v-prediction model'
    return { value, notes: [note] }
  }
  if (version === 1 && asked === 'v_prediction') {
    const note =
      `${report.path}: what this 1.x model predicts is not stored in the file; taken to be velocity, as --v_parameterization says, ` +
      'though 1.x models predict noise unless they were trained to do otherwise'
    return { value, notes: [note] }
  }
  return { value, notes: [] }
}
