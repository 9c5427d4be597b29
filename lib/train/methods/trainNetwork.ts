/** Training of a network beside a model that stays as it is. */
import type { UNet } from '../../models/stableDiffusion/unet.ts'
import { readKohyaLora, writeKohyaLora } from '../../networks/kohyaLora.ts'
import { loraMetadata, minimalLoraMetadata, type SaveFacts, type TrainingFacts } from '../../networks/metadata.ts'
import type { OptimizerGroup } from '../../optim/customOptimizer.ts'
import { ConfigError } from '../../util/errors.ts'
import type { CacheEvent, WarningEvent } from '../events.ts'
import { modelSpec } from '../facts/modelSpec.ts'
import { describeModels, trainingFacts } from '../facts/trainingFacts.ts'
import { captionOptions } from '../inputs/conditioning.ts'
import type { PreviewSource, TrainingContext, TrainingKind, TrainingMethod } from '../method.ts'
import type { TrainNetworkConfig } from '../trainConfig.ts'
import { cachesCaptions, captionStore, fillCaptions } from './cachedCaptions.ts'
import { NetworkMethod } from './network.ts'
import { loraParameterGroups } from './parameterGroups.ts'
import { type StartedNetwork, startNetwork } from './startNetwork.ts'

/** `train-network`. */
export const networkTraining: TrainingKind<TrainNetworkConfig> = {
  name: 'train-network',
  trackerName: 'network_train',
  mergesFirst: ({ network }) => (network.baseWeights ?? []).length > 0,
  trainedParts: () => [],
  trainedGroups: ({ network }) => [
    ...(network.trainTextEncoder ? (['textencoder'] as const) : []),
    ...(network.trainUnet ? (['unet'] as const) : []),
  ],
  async create(context) {
    const { config, models, seed } = context
    // What is recorded about the model is that of its file, whatever is merged into it.
    const described = config.output.noMetadata ? null : await describeModels(config)
    const started = await startNetwork(models, { ...config.network, seed })
    try {
      expectStrength(context, started)
      const facts = described && trainingFacts(context, networkFacts(config, started), described)
      return new NetworkTraining(context, started, facts)
    } catch (error) {
      started.network.dispose()
      throw error
    }
  },
}

/** @throws ConfigError when data ask for a strength that the network cannot have */
function expectStrength({ group }: TrainingContext, { network }: StartedNetwork): void {
  const datasets = [...group.datasets, ...(group.heldOut?.datasets ?? [])]
  const asked = datasets.find((dataset) => dataset.config.networkMultiplier !== 1)
  if (asked === undefined) return
  const place = `network_multiplier = ${asked.config.networkMultiplier} of datasets[${asked.index}]`
  if (network.setMultiplier === undefined)
    throw new ConfigError(`${place} needs a network with setMultiplier; leave it out`, { option: 'network_multiplier' })
}

function networkFacts({ network }: TrainNetworkConfig, { network: { facts } }: StartedNetwork) {
  return { ...facts, ...(network.args && { args: network.args }) }
}

class NetworkTraining extends NetworkMethod implements TrainingMethod {
  readonly unet: UNet
  readonly groups: readonly OptimizerGroup[]
  readonly extension: string
  readonly warnings: readonly string[]
  readonly #context: TrainingContext<TrainNetworkConfig>
  readonly #facts: TrainingFacts | null

  constructor(context: TrainingContext<TrainNetworkConfig>, started: StartedNetwork, facts: TrainingFacts | null) {
    const { config, models, tokenizer, optimizerPlan } = context
    const { network, optimizer, data, training, output } = config
    super(models.textEncoder, tokenizer, started.network, {
      trainTextEncoder: network.trainTextEncoder,
      cacheCaptions: cachesCaptions(config),
      openCaptionStore: captionStore(context),
      weightedCaptions: data.weightedCaptions === true,
      captions: captionOptions(config, models.unet.registry.dtype),
    })
    const { plan: rates } = optimizerPlan
    this.#context = context
    this.#facts = facts
    this.unet = models.unet
    this.extension = `.${output.saveAs ?? 'safetensors'}`
    this.warnings = started.notes
    models.unet.gradientCheckpointing = training.gradientCheckpointing
    models.textEncoder.gradientCheckpointing = training.gradientCheckpointing
    this.groups = loraParameterGroups(this.network, {
      // An optimizer that finds its own rate shows this one before its first step.
      learningRate: rates.learningRate ?? optimizer.learningRate,
      unetLearningRate: rates.unetLearningRate,
      textEncoderLearningRate: rates.textEncoderLearningRate,
      blockWeights: network.blockWeights ?? null,
      loraPlus: network.loraPlus ?? null,
    })
  }

  get moduleCount(): number {
    return this.network.modules.length
  }

  /** Once every caption is encoded, the text encoder is there for previews alone. */
  async *prepare(signal: AbortSignal | undefined): AsyncGenerator<CacheEvent | WarningEvent> {
    if (this.textCache === null) return
    const release = this.#context.config.preview.promptFile === null
    yield* fillCaptions(this.textCache, this.#context, { signal, release })
  }

  afterPass(): Promise<Readonly<Record<string, number>>> | undefined {
    return this.network.afterStep?.() ?? undefined
  }

  setTraining(on: boolean): void {
    this.network.setTraining(on)
  }

  async write(path: string, save: SaveFacts): Promise<number> {
    const { config, models, fileSystem } = this.#context
    const { savePrecision } = config.output
    const facts = { ...this.network.facts, ...(config.network.args && { args: config.network.args }) }
    const metadata =
      this.#facts === null
        ? minimalLoraMetadata(facts)
        : {
            ...loraMetadata(this.#facts, save),
            ...modelSpec(models.config, config, { what: 'lora', savedAt: save.finishedAt }),
          }
    return writeKohyaLora(path, await this.network.toKohya(), {
      metadata,
      ...(fileSystem === undefined ? {} : { fileSystem }),
      ...(savePrecision === null ? {} : { precision: savePrecision }),
    })
  }

  async openPreview(path: string): Promise<PreviewSource> {
    const { models, tokenizer } = this.#context
    const { network } = this
    const { modules } = await readKohyaLora(path)
    network.setTraining(false)
    const detach = network.attachSaved([...modules.values()])
    const close = (): void => {
      detach()
      network.setTraining(true)
    }
    return { models, tokenizer, close }
  }
}
