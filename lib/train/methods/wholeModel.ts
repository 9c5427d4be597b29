/** Training of the model's own weights: U-Net, and the text encoder where asked for. */
import { noGrad } from '../../autograd/tape.ts'
import { loadStableDiffusion } from '../../checkpoints/loadStableDiffusion.ts'
import { UNet } from '../../models/stableDiffusion/unet.ts'
import type { SaveFacts } from '../../networks/metadata.ts'
import type { Registry } from '../../nn/weights.ts'
import { cast } from '../../ops/cast.ts'
import type { OptimizerGroup } from '../../optim/customOptimizer.ts'
import type { OptimizerParameter } from '../../optim/optimizer.ts'
import type { Tensor } from '../../tensor/tensor.ts'
import type { CacheEvent, WarningEvent } from '../events.ts'
import { CaptionEncoder, captionOptions } from '../inputs/conditioning.ts'
import { type EncodesCaptions, TextCache } from '../inputs/textCache.ts'
import { WeightedCaptionEncoder } from '../inputs/weightedCaptions.ts'
import type { PreviewSource, TrainingContext, TrainingMethod } from '../method.ts'
import { computeType, vaeType } from '../openTraining.ts'
import type { TrainConfig } from '../trainConfig.ts'
import { deviceOf } from '../trainingDevice.ts'
import { cachesCaptions, captionStore, fillCaptions, refuseCachedCaptions } from './cachedCaptions.ts'
import { formExtension, type WholeModelForm, wholeModelForm, writeWholeModel } from './wholeModelFile.ts'

export interface WholeModelOptions {
  /** Number of optimizer steps in which the text encoder learns; it stays as it is after them. */
  readonly textEncoderSteps: number
  /** Whether it is among what is trained at all, if only for no step. */
  readonly trainTextEncoder: boolean
  /** Null: that of the optimizer. */
  readonly textEncoderLearningRate: number | null
  /** Captions are as long as the longest of their batch. Default false. */
  readonly noTokenPadding?: boolean
}

/** U-Net and text encoder learn, each tensor of them. What is trained is float32 and has a copy in the type that is computed in. */
export class WholeModelMethod implements TrainingMethod {
  readonly unet: UNet
  readonly groups: readonly OptimizerGroup[]
  readonly moduleCount: number
  readonly extension: string
  readonly repeats = true
  readonly #context: TrainingContext
  readonly #options: WholeModelOptions
  readonly #form: WholeModelForm
  readonly #captions: EncodesCaptions
  /** Null where captions are encoded in each step. */
  readonly #textCache: TextCache | null
  #textEncoderLearns: boolean

  static async create(context: TrainingContext, options: WholeModelOptions): Promise<WholeModelMethod> {
    expectCachable(context.config, options)
    return new WholeModelMethod(context, options, await wholeModelForm(context.config))
  }

  /** Use {@link WholeModelMethod.create}. */
  private constructor(context: TrainingContext, options: WholeModelOptions, form: WholeModelForm) {
    const { config, models, tokenizer, optimizerPlan } = context
    const { trainTextEncoder, textEncoderLearningRate, noTokenPadding } = options
    const { unet, textEncoder } = models
    this.#context = context
    this.#options = options
    this.#form = form
    this.extension = formExtension(form)
    const dtype = computeType(config)
    this.unet =
      unet.registry.dtype === dtype
        ? unet
        : new UNet(
            unet.config,
            (request) => cast(unet.registry.parameters.get(request.name)!.tensor, { dtype: request.dtype }),
            dtype,
          )
    this.unet.gradientCheckpointing = config.training.gradientCheckpointing
    textEncoder.gradientCheckpointing = config.training.gradientCheckpointing
    const unetParameters = trainable('unet', unet.registry, this.unet.registry)
    const textParameters = trainTextEncoder ? trainable('text_encoder', textEncoder.registry) : []
    const learningRate = optimizerPlan.plan.learningRate ?? config.optimizer.learningRate
    // One group, unless the text encoder has a rate of its own.
    this.groups =
      textEncoderLearningRate === null
        ? [{ name: 'unet', params: [...unetParameters, ...textParameters], learningRate }]
        : [
            { name: 'unet', params: unetParameters, learningRate },
            { name: 'textencoder', params: textParameters, learningRate: textEncoderLearningRate },
          ].filter(({ params }) => params.length > 0)
    this.moduleCount = unetParameters.length + textParameters.length
    this.#textEncoderLearns = trainTextEncoder && options.textEncoderSteps > 0
    if (!this.#textEncoderLearns) this.#freezeTextEncoder()
    const captions = {
      ...captionOptions(config, dtype),
      ...(noTokenPadding === undefined ? {} : { noPadding: noTokenPadding }),
    }
    const encoder = new CaptionEncoder(tokenizer, textEncoder, captions)
    this.#textCache = this.#openTextCache(encoder)
    this.#captions =
      this.#textCache ??
      (config.data.weightedCaptions ? new WeightedCaptionEncoder(tokenizer, textEncoder, captions) : encoder)
  }

  #openTextCache(encoder: CaptionEncoder): TextCache | null {
    if (!cachesCaptions(this.#context.config)) return null
    const openStore = captionStore(this.#context)
    return new TextCache(encoder, { openStore: openStore && (() => openStore(encoder)) })
  }

  /** A text encoder that is not among what is trained is not written from memory, and previews are drawn with a model of their own. */
  async *prepare(signal: AbortSignal | undefined): AsyncGenerator<CacheEvent | WarningEvent> {
    const { trainTextEncoder } = this.#options
    if (this.#textCache !== null)
      yield* fillCaptions(this.#textCache, this.#context, { signal, release: !trainTextEncoder })
  }

  async fetchCaptions(captions: readonly string[]): Promise<void> {
    await this.#textCache?.fetch(captions)
  }

  condition(captions: readonly string[]): Tensor {
    return this.#textEncoderLearns ? this.#captions.encode(captions) : noGrad(() => this.#captions.encode(captions))
  }

  beginStep(step: number): readonly string[] {
    if (!this.#textEncoderLearns || step < this.#options.textEncoderSteps) return []
    this.#textEncoderLearns = false
    this.#freezeTextEncoder()
    return [`step ${step}: the text encoder stays as it is from here on`]
  }

  /** Tensors without a gradient are passed over by the optimizer: no decay either. */
  #freezeTextEncoder(): void {
    for (const { tensor } of this.#context.models.textEncoder.registry.parameters.values()) tensor.requiresGrad = false
  }

  write(path: string, facts: SaveFacts): Promise<number> {
    const { config, models } = this.#context
    const trained = trainedPartsOf(this.#options.trainTextEncoder)
    return writeWholeModel(path, { config, models, trained, form: this.#form, facts })
  }

  /** The file is loaded as a second model, in the type that is computed in. */
  async openPreview(path: string): Promise<PreviewSource> {
    const { config, models: trained, tokenizer } = this.#context
    const { version, predictionType, unet, textEncoder, vae } = trained.config
    const { models } = await loadStableDiffusion(path, {
      v2: version === 2,
      vParameterization: predictionType === 'v_prediction',
      dtypes: { unet: computeType(config), vae: vaeType(config) },
      device: deviceOf(config),
      // PyTorch's container has no place for what shapes do not tell.
      sizes: {
        unetHeads: unet.heads,
        unetGroups: unet.groups,
        textHeads: textEncoder.heads,
        vaeGroups: vae.groups,
        scalingFactor: vae.scalingFactor,
      },
    })
    return { models, tokenizer, close: () => models.dispose() }
  }

  dispose(): void {
    this.#textCache?.dispose()
    if (this.unet !== this.#context.models.unet) this.unet.dispose()
  }
}

/** @throws ConfigError when captions shall be encoded once whose states change */
function expectCachable(config: TrainConfig, options: WholeModelOptions): void {
  const { trainTextEncoder, textEncoderSteps, noTokenPadding } = options
  if (trainTextEncoder && textEncoderSteps > 0) refuseCachedCaptions(config, 'the text encoder is trained')
  if (config.data.weightedCaptions) refuseCachedCaptions(config, 'how long a weighted caption is depends on its batch')
  if (noTokenPadding) refuseCachedCaptions(config, 'without padding captions are as long as those of their batch')
}

/** Every parameter of a network, to be trained. @param computed the network that computes with copies of them */
function trainable(part: string, masters: Registry, computed: Registry = masters): OptimizerParameter[] {
  return Array.from(masters.parameters.values(), ({ name, tensor: master, layout }) => {
    const copy = computed === masters ? null : computed.parameters.get(name)!.tensor
    const learns = copy ?? master
    learns.requiresGrad = true
    return { name: `${part}.${name}`, master, copy, layout }
  })
}

/** Options of every training of whole models. */
export function trainedPartsOf(trainTextEncoder: boolean): readonly ('unet' | 'textEncoder')[] {
  return trainTextEncoder ? ['unet', 'textEncoder'] : ['unet']
}

/** Groups of a training of a whole model. */
export function trainedGroupsOf(
  trainTextEncoder: boolean,
  textEncoderLearningRate: number | null,
): readonly ('unet' | 'textencoder')[] {
  return trainTextEncoder && textEncoderLearningRate !== null ? ['unet', 'textencoder'] : ['unet']
}
