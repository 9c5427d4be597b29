/** The network of a training: new, or going on from a file; and what is merged into the model before. */
import type { StableDiffusion } from '../../models/stableDiffusion/stableDiffusion.ts'
import type { BlockWeights } from '../../networks/blockWeights.ts'
import { createNetwork, type NetworkChoice } from '../../networks/createNetwork.ts'
import { readKohyaLora } from '../../networks/kohyaLora.ts'
import type { LoraModels } from '../../networks/layers.ts'
import { type LoraFile, readLora } from '../../networks/loraFile.ts'
import { mergeLora } from '../../networks/mergeLora.ts'
import type { ModuleKind } from '../../networks/moduleShapes.ts'
import type { BranchNetwork, NetworkClass, TrainableNetwork } from '../../networks/network.ts'
import { loadNetworkWeights, networkFromFile } from '../../networks/networkFromFile.ts'
import { CheckpointError, ConfigError } from '../../util/errors.ts'
import { listed } from '../../util/listed.ts'

export interface NetworkStart {
  /** A kind with its own options, or a class of the user's own. Default: plain LoRA. */
  readonly choice?: NetworkChoice | NetworkClass
  /** Null: not given. */
  readonly dim: number | null
  readonly alpha: number | null
  readonly dropout: number | null
  readonly blockWeights?: BlockWeights | null
  /** As they were given: recorded, and what a class of the user's own reads. */
  readonly args?: Readonly<Record<string, string>> | null
  /** Limit for the norm of every module's change of its weight. Null: none. */
  readonly scaleWeightNorms?: number | null
  /** File whose values the network starts from. */
  readonly weights?: string | null
  /** Modules, ranks and alphas are those of that file. */
  readonly dimFromWeights?: boolean
  /** Files that are merged into the model, and how strongly. Multipliers that are missing are 1. */
  readonly baseWeights?: readonly string[]
  readonly baseWeightsMultiplier?: readonly number[]
  readonly trainUnet: boolean
  readonly trainTextEncoder: boolean
  readonly seed: number
}

export interface StartedNetwork {
  readonly network: TrainableNetwork
  /** What the user should know: modules of a file that are not used, modules that start new. */
  readonly notes: readonly string[]
}

/**
 * Merges what is to be merged and makes the network.
 * @throws ConfigError for options that contradict each other, CheckpointError for files that do not fit
 */
export async function startNetwork(models: StableDiffusion, start: NetworkStart): Promise<StartedNetwork> {
  const { weights = null, dimFromWeights = false, trainUnet, trainTextEncoder } = start
  if (!trainUnet && !trainTextEncoder)
    throw new ConfigError('neither U-Net nor text encoder is trained: nothing is left')
  if (dimFromWeights && weights === null)
    throw new ConfigError('--dim_from_weights needs --network_weights: the file whose ranks are taken')
  const notes = await mergeBaseWeights(models, start)
  const parts = {
    ...(trainTextEncoder ? { textEncoder: models.textEncoder } : {}),
    ...(trainUnet ? { unet: models.unet } : {}),
  }
  if (weights === null) return { network: newNetwork(parts, start), notes }
  const { choice = { kind: 'lora' } } = start
  if (isClass(choice)) return { network: await ownWithWeights(parts, weights, dimFromWeights, start), notes }
  const file = await readLora(weights, models.config)
  try {
    if (dimFromWeights) return { network: await fromFile(parts, file, choice, start), notes }
    return { network: await newWithWeights(parts, file, { ...start, choice }, notes), notes }
  } finally {
    await file.close()
  }
}

/** Each file's changes are computed in float32 and rounded once, to the type of the model's weights. */
async function mergeBaseWeights(
  models: StableDiffusion,
  { baseWeights = [], baseWeightsMultiplier = [] }: NetworkStart,
): Promise<string[]> {
  if (baseWeightsMultiplier.length > baseWeights.length)
    throw new ConfigError(
      `--base_weights_multiplier has ${baseWeightsMultiplier.length} numbers for ${baseWeights.length} files of --base_weights`,
    )
  const notes: string[] = []
  for (const [i, path] of baseWeights.entries()) {
    const file = await readLora(path, models.config)
    const multiplier = baseWeightsMultiplier[i] ?? 1
    try {
      const layers = await mergeLora(models, file, { multiplier })
      notes.push(`merged ${path} into ${layers} layers of the model, multiplied by ${multiplier}`)
    } finally {
      await file.close()
    }
  }
  return notes
}

function isClass(choice: NetworkChoice | NetworkClass): choice is NetworkClass {
  return typeof choice === 'function'
}

function newNetwork(parts: LoraModels, start: NetworkStart): TrainableNetwork {
  const { choice = { kind: 'lora' } } = start
  return isClass(choice) ? ownNetwork(choice, parts, start) : builtIn(choice, parts, start)
}

function ownNetwork(own: NetworkClass, parts: LoraModels, start: NetworkStart): TrainableNetwork {
  const { dim, alpha, dropout, args, scaleWeightNorms, seed } = start
  return new own(parts, { rank: dim, alpha, dropout, args: args ?? {}, maxNorm: scaleWeightNorms || null, seed })
}

function builtIn(choice: NetworkChoice, parts: LoraModels, start: NetworkStart): BranchNetwork {
  const { dim, alpha, dropout, blockWeights = null, scaleWeightNorms, seed } = start
  const common = { rank: dim, alpha, blockWeights, maxNorm: scaleWeightNorms || null, seed }
  const own = { dropout, ...choice }
  return createNetwork(parts, { ...own, ...common })
}

async function ownWithWeights(
  parts: LoraModels,
  weights: string,
  dimFromWeights: boolean,
  start: NetworkStart,
): Promise<TrainableNetwork> {
  if (dimFromWeights)
    throw new ConfigError('--dim_from_weights is for built-in networks: a class of your own chooses its sizes itself')
  const network = newNetwork(parts, start)
  try {
    if (network.load === undefined)
      throw new ConfigError('--network_weights: the class given by --network_module has no method load(modules)')
    network.load([...(await readKohyaLora(weights)).modules.values()])
    return network
  } catch (error) {
    network.dispose()
    throw error
  }
}

async function newWithWeights(
  parts: LoraModels,
  file: LoraFile,
  { choice, ...start }: NetworkStart & { readonly choice: NetworkChoice },
  notes: string[],
): Promise<TrainableNetwork> {
  const network = builtIn(choice, parts, start)
  try {
    const { fresh, unused } = await loadNetworkWeights(network, file)
    if (fresh.length > 0)
      notes.push(`${file.path} lacks ${fresh.length} modules of the network, which start new: ${listed(fresh, 3)}`)
    if (unused.length > 0)
      notes.push(`${unused.length} modules of ${file.path} have no place in the network: ${listed(unused, 3)}`)
    return network
  } catch (error) {
    network.dispose()
    throw error
  }
}

const kindsInFiles = {
  lora: 'lora',
  dylora: 'lora',
  locon: 'lora',
  loha: 'loha',
  lokr: 'lokr',
} as const satisfies Readonly<Record<NetworkChoice['kind'], ModuleKind>>

/** What the choice says of sizes is not used; its dropouts are. */
async function fromFile(
  parts: LoraModels,
  file: LoraFile,
  choice: NetworkChoice,
  { dim, alpha, dropout, blockWeights = null, scaleWeightNorms, seed }: NetworkStart,
): Promise<TrainableNetwork> {
  const other = file.modules.find(({ kind }) => kind !== kindsInFiles[choice.kind])
  if (other !== undefined)
    throw new CheckpointError(
      file.path,
      `--network_module asks for ${choice.kind}, found ${other.kind} beside ${other.layer.path}`,
    )
  const module =
    choice.kind === 'lora' ? 'networks.lora' : choice.kind === 'dylora' ? 'networks.dylora' : 'lycoris.kohya'
  const network = await networkFromFile(parts, file, {
    dropout,
    ...(choice.kind === 'dylora' ? { unit: choice.unit ?? 1 } : choice),
    facts: { module, dim, alpha, dropout },
    blockWeights,
    maxNorm: scaleWeightNorms || null,
    seed,
  })
  if (network.modules.length > 0) return network
  network.dispose()
  throw new CheckpointError(file.path, 'has no module of any layer that is trained')
}
