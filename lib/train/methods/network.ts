/** Training of a low-rank network beside a model that stays as it is. */
import type { UNet } from '../../models/stableDiffusion/unet.ts'
import { readKohyaLora, writeKohyaLora } from '../../networks/kohyaLora.ts'
import { attachLora } from '../../networks/lora.ts'
import {
  loraMetadata,
  minimalLoraMetadata,
  type NetworkFacts,
  type SaveFacts,
  type TrainingFacts,
} from '../../networks/metadata.ts'
import type { OptimizerGroup } from '../../optim/customOptimizer.ts'
import type { Tensor } from '../../tensor/tensor.ts'
import { captionOptions } from '../conditioning.ts'
import type { CacheEvent } from '../events.ts'
import type { PreviewSource, TrainingContext, TrainingKind, TrainingMethod } from '../method.ts'
import { loraParameterGroups } from '../parameterGroups.ts'
import type { TrainNetworkConfig } from '../trainConfig.ts'
import { describeModels, trainingFacts } from '../trainingFacts.ts'
import { LoraMethod } from './lora.ts'

/** `train-network`. */
export const networkTraining: TrainingKind<TrainNetworkConfig> = {
  name: 'train-network',
  trackerName: 'network_train',
  trainedParts: () => [],
  trainedGroups: ({ network }) => [
    ...(network.trainTextEncoder ? (['textencoder'] as const) : []),
    ...(network.trainUnet ? (['unet'] as const) : []),
  ],
  async create(context) {
    const { dim, alpha, dropout, args } = context.config.network
    const { noMetadata = false } = context.config.output
    const network: NetworkFacts = { module: 'networks.lora', dim, alpha, dropout, ...(args && { args }) }
    const facts = noMetadata ? null : trainingFacts(context, network, await describeModels(context.config))
    return new NetworkMethod(context, network, facts)
  },
}

class NetworkMethod implements TrainingMethod {
  readonly unet: UNet
  readonly groups: readonly OptimizerGroup[]
  readonly extension = '.safetensors'
  readonly #context: TrainingContext<TrainNetworkConfig>
  readonly #network: NetworkFacts
  readonly #facts: TrainingFacts | null
  readonly #lora: LoraMethod

  constructor(context: TrainingContext<TrainNetworkConfig>, facts: NetworkFacts, training: TrainingFacts | null) {
    const { config, seed, models, tokenizer, optimizerPlan } = context
    const { network, optimizer, data } = config
    const { plan: rates } = optimizerPlan
    this.#context = context
    this.#network = facts
    this.#facts = training
    this.unet = models.unet
    models.unet.gradientCheckpointing = config.training.gradientCheckpointing
    models.textEncoder.gradientCheckpointing = config.training.gradientCheckpointing
    this.#lora = new LoraMethod(models, tokenizer, {
      rank: network.dim ?? 4,
      alpha: network.alpha ?? 1,
      dropout: network.dropout,
      blockWeights: network.blockWeights ?? null,
      seed,
      trainUnet: network.trainUnet,
      trainTextEncoder: network.trainTextEncoder,
      cacheCaptions: data.cacheTextEncoderOutputs === true,
      weightedCaptions: data.weightedCaptions === true,
      captions: captionOptions(config, models.unet.registry.dtype),
    })
    this.groups = loraParameterGroups(this.#lora.network, {
      // An optimizer that finds its own rate shows this one before its first step.
      learningRate: rates.learningRate ?? optimizer.learningRate,
      unetLearningRate: rates.unetLearningRate,
      textEncoderLearningRate: rates.textEncoderLearningRate,
      blockWeights: network.blockWeights ?? null,
      loraPlus: network.loraPlus ?? null,
    })
  }

  get moduleCount(): number {
    return this.#lora.network.modules.length
  }

  prepare(signal: AbortSignal | undefined): AsyncIterable<CacheEvent> {
    const { textCache } = this.#lora
    return textCache === null ? nothing() : textCache.fill(this.#context.group, signal)
  }

  condition(captions: readonly string[]): Tensor {
    return this.#lora.condition(captions)
  }

  beginPass(pass: number): void {
    this.#lora.beginPass(pass)
  }

  setTraining(on: boolean): void {
    this.#lora.network.setTraining(on)
  }

  async write(path: string, save: SaveFacts): Promise<number> {
    const { config, fileSystem } = this.#context
    const { savePrecision } = config.output
    const metadata = this.#facts === null ? minimalLoraMetadata(this.#network) : loraMetadata(this.#facts, save)
    return writeKohyaLora(path, await this.#lora.network.toKohya(), {
      metadata,
      integerAlpha: config.network.alpha === null,
      ...(fileSystem === undefined ? {} : { fileSystem }),
      ...(savePrecision === null ? {} : { precision: savePrecision }),
    })
  }

  async openPreview(path: string): Promise<PreviewSource> {
    const { models, tokenizer } = this.#context
    const { network } = this.#lora
    const { modules } = await readKohyaLora(path)
    network.setTraining(false)
    const detach = attachLora([...modules.values()], models)
    const close = (): void => {
      detach()
      network.setTraining(true)
    }
    return { models, tokenizer, close }
  }

  dispose(): void {
    this.#lora.dispose()
  }
}

async function* nothing(): AsyncGenerator<CacheEvent> {}
