/** A VAE on its own, from every form in which VAEs are passed on. */
import { readFile, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { openTensorFile } from '../io/openTensorFile.ts'
import type { TensorFile } from '../io/tensorFile.ts'
import type { StableDiffusionConfig, VaeConfig } from '../models/stableDiffusion/config.ts'
import { sd1 } from '../models/stableDiffusion/config.ts'
import { Vae } from '../models/stableDiffusion/vae.ts'
import type { FloatDType } from '../tensor/dtype.ts'
import { CheckpointError, IoError } from '../util/errors.ts'
import { detectCheckpoint, listed } from './detect.ts'
import { finishReads } from './finishReads.ts'
import { KeyedFile, keyedVaeFile } from './keyedFile.ts'
import { ldmKeys } from './keys/ldmKeys.ts'
import { oldVaeNames, vaePrefix } from './keys/vae.ts'
import { sizesOfMetadata, type UnseenSizes, vaeConfigOf } from './ldmConfig.ts'
import { parameterRequests } from './parameterList.ts'
import { PartPlan, refuseProblems } from './partPlan.ts'
import { findPartWeights, openPartWeights } from './partWeights.ts'

export interface LoadVaeOptions {
  /** Type it is stored and computed in. Default float32. */
  readonly dtype?: FloatDType | undefined
  /** What shapes do not tell; default: from the file's metadata, a `config.json` beside it, or the published models' rule. */
  readonly sizes?: UnseenSizes | undefined
}

/** A VAE in an open file: found and checked, not read. */
export interface VaePlan {
  readonly config: VaeConfig
  readonly plan: PartPlan
  /** What says what is wrong; empty when nothing is. */
  readonly problems: readonly string[]
}

/**
 * Loads a VAE: a diffusers folder of a VAE, or of a whole model with `vae/` in it; its weights as a file of its own; a VAE in the
 * names of single-file checkpoints, with or without `first_stage_model.`; or the VAE inside a whole checkpoint.
 *
 * @throws IoError when there is no such file; CheckpointError when it is no VAE, damaged, or lacks tensors. Nothing stays loaded.
 */
export async function loadVae(path: string, { dtype, sizes = {} }: LoadVaeOptions = {}): Promise<Vae> {
  const file = await openVaeFile(path)
  try {
    const { config, plan, problems } = await planVae(file, sizes)
    if (problems.length > 0) throw refuseProblems(file.path, 'the VAE', problems)
    await plan.readAhead()
    return await finishReads(() => new Vae(config, plan.source, dtype))
  } finally {
    await file.close()
  }
}

/** Opens the file of a VAE, whatever was named: the file or a folder that has it. The caller closes it. */
export async function openVaeFile(path: string): Promise<TensorFile> {
  const found = await stat(path).catch(() => null)
  if (found === null) throw new IoError(path, 'no such file or folder; expected a VAE')
  return found.isDirectory() ? openFolder(path) : openTensorFile(path)
}

const weightNames = ['diffusion_pytorch_model.safetensors', 'diffusion_pytorch_model.bin'] as const

/** The folder of a VAE, or else the one of a model with `vae/` in it, which may have its weights in shards or variants. */
async function openFolder(folder: string): Promise<TensorFile> {
  for (const name of weightNames) {
    const path = join(folder, name)
    if ((await stat(path).catch(() => null))?.isFile()) return openTensorFile(path)
  }
  if ((await stat(join(folder, 'vae')).catch(() => null))?.isDirectory())
    return openPartWeights(await findPartWeights(folder, 'vae'))
  throw new CheckpointError(
    folder,
    `expected the weights of a VAE (${weightNames.join(' or ')}, or those in vae/), found none`,
  )
}

/** Finds and checks the VAE of an open file, in the names of diffusers or of single-file checkpoints. */
export async function planVae(file: TensorFile, sizes: UnseenSizes): Promise<VaePlan> {
  const { kind, description } = detectCheckpoint(file)
  if (kind === 'diffusersVae') return planDiffusersVae(file, sizes)
  const keyed = keyedVaeFile(file)
  if ((kind !== 'ldmVae' && kind !== 'stableDiffusion') || !keyed.has(`${vaePrefix}post_quant_conv.weight`))
    throw new CheckpointError(
      file.path,
      `expected a VAE, found ${description}${kind === 'stableDiffusion' ? ' without one' : ''}`,
    )
  const config = vaeConfigOf(keyed, 'ldm', { ...sizesOfMetadata(file), ...sizes })
  const { plan, problems } = planLdmVae(keyed, config)
  return { config, plan, problems }
}

/** Finds and checks the VAE under `first_stage_model.` of a file. Tensors there that belong to no VAE are problems. */
export function planLdmVae(file: KeyedFile, vae: VaeConfig): Omit<VaePlan, 'config'> {
  const problems: string[] = []
  const config: StableDiffusionConfig = { ...sd1, vae }
  const keys = ldmKeys('vae', config)
  const plan = new PartPlan(file, parameterRequests('vae', config), (name) => [keys.toLdm(name)!], problems)
  problems.push(...unknownTensors(file, plan.used, (key) => isVaeTensor(key, vaePrefix)))
  return { plan, problems }
}

async function planDiffusersVae(file: TensorFile, sizes: UnseenSizes): Promise<VaePlan> {
  const keyed = new KeyedFile(file, (name) => name)
  const beside = await settingsBeside(file.path)
  const vae = vaeConfigOf(keyed, 'diffusers', { ...beside, ...sizes })
  const problems: string[] = []
  const requests = parameterRequests('vae', { ...sd1, vae })
  const slots = (name: string) => [name, ...oldVaeNames(name)].map((key) => ({ key, third: null }))
  const plan = new PartPlan(keyed, requests, slots, problems)
  problems.push(...unknownTensors(keyed, plan.used, (key) => isVaeTensor(key, '')))
  return { config: vae, plan, problems }
}

/** What the network itself may hold: files of its training also have losses, discriminators and averages. */
function isVaeTensor(key: string, prefix: string): boolean {
  return key.startsWith(prefix) && /^(encoder|decoder|quant_conv|post_quant_conv)\./.test(key.slice(prefix.length))
}

/** One problem for all tensors of a part that no parameter uses: they would be silently without effect. */
export function unknownTensors(file: KeyedFile, used: ReadonlySet<string>, inPart: (key: string) => boolean): string[] {
  const unknown = file.names.filter((key) => inPart(key) && !used.has(key))
  if (unknown.length === 0) return []
  return [`${listed(unknown)} ${unknown.length === 1 ? 'is a tensor' : 'are tensors'} that it does not have`]
}

/** Groups and scaling of the `config.json` beside a diffusers file, where there is one that gives them. */
async function settingsBeside(path: string): Promise<UnseenSizes> {
  const configPath = join(dirname(path), 'config.json')
  const text = await readFile(configPath, 'utf8').catch(() => null)
  if (text === null) return {}
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    throw new CheckpointError(configPath, `expected a JSON object (${(error as Error).message})`, { cause: error })
  }
  const { norm_num_groups: groups, scaling_factor: scaling } = (value ?? {}) as Readonly<Record<string, unknown>>
  const positive = (size: unknown): size is number => typeof size === 'number' && size > 0
  return {
    ...(positive(groups) ? { vaeGroups: groups } : {}),
    ...(positive(scaling) ? { scalingFactor: scaling } : {}),
  }
}
