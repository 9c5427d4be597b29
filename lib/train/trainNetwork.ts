/** A LoRA training from configuration to files, as an async iterator of events. */
import { mkdir } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import { loadStableDiffusion } from '../checkpoints/loadStableDiffusion.ts'
import type { EpochProgress } from '../data/batches.ts'
import type { DatasetGroup } from '../data/datasetGroup.ts'
import { describeDatasetGroup } from '../data/report.ts'
import { noiseSchedule } from '../diffusion/noiseSchedule.ts'
import type { HubProgress } from '../hub/resolveHubModel.ts'
import type { WritableFileSystem } from '../io/atomicWrite.ts'
import { toIoError } from '../io/systemError.ts'
import { type ClipTokenizer, loadClipTokenizer } from '../models/clip/tokenizer.ts'
import type { StableDiffusion } from '../models/stableDiffusion/stableDiffusion.ts'
import type { OptimizerGroup } from '../optim/customOptimizer.ts'
import type { Optimizer } from '../optim/optimizer.ts'
import type { RateFunction } from '../optim/schedules/schedule.ts'
import { type PromptSpec, readPromptFile } from '../preview/promptFile.ts'
import { DataError } from '../util/errors.ts'
import { conditioningWarnings } from './conditioning.ts'
import type { TrainEvent } from './events.ts'
import { LatentCache } from './latentCache.ts'
import { cachesFolder, LatentStore } from './latentStore.ts'
import { type DescribedModels, LoraOutput } from './loraOutput.ts'
import { LoraMethod } from './methods/lora.ts'
import { modelFacts } from './modelFacts.ts'
import {
  expectNoProblems,
  groupRateAdvice,
  makeOptimizer,
  makeSchedule,
  type OptimizerPlan,
  planOptimizer,
} from './optimizerPlan.ts'
import { loraParameterGroups } from './parameterGroups.ts'
import { LossAverage, planSteps, type StepPlan } from './schedule.ts'
import { SkippedSteps } from './skippedSteps.ts'
import { TrainBatches } from './trainBatches.ts'
import { Trainer } from './trainer.ts'
import { loadTrainingData } from './trainingData.ts'
import type { TrainNetworkConfig } from './trainNetworkConfig.ts'

export interface TrainNetworkOptions {
  /**
   * Aborting it ends the training after the step under way, with a save; pictures still to be drawn are left out, the one
   * being drawn too, after its denoising step.
   */
  readonly signal?: AbortSignal | undefined
  /** How weights and previews are written. Default: `node:fs/promises`; a program may watch or limit the writes. */
  readonly fileSystem?: WritableFileSystem | undefined
  /** How the download of a model given by hub id goes. */
  readonly onDownload?: ((progress: HubProgress) => void) | undefined
}

/**
 * Trains a LoRA. Nothing happens until the first event is asked for; leaving the loop early frees everything.
 * @throws ConfigError, DataError, CheckpointError, IoError or NativeError; what had been written stays
 */
export async function* trainNetwork(
  config: TrainNetworkConfig,
  options: TrainNetworkOptions = {},
): AsyncGenerator<TrainEvent> {
  const session = await openSession(config, options)
  try {
    yield* session.run(options.signal)
  } finally {
    session.dispose()
  }
}

async function openSession(config: TrainNetworkConfig, options: TrainNetworkOptions): Promise<TrainNetworkSession> {
  const seed = config.training.seed ?? drawSeed()
  const { model, network, training, preview, output } = config
  const trained = [
    ...(network.trainTextEncoder ? ['textencoder' as const] : []),
    ...(network.trainUnet ? ['unet' as const] : []),
  ]
  const optimizerPlan = planOptimizer(config.optimizer, trained)
  expectNoProblems(optimizerPlan)
  const group = await loadTrainingData(config, seed)
  if (group.batchesPerEpoch === 0)
    throw new DataError(output.folder, 'there is nothing to train on: the data set has no images')
  const promptWarnings: string[] = []
  const prompts =
    preview.promptFile === null
      ? []
      : await readPromptFile(preview.promptFile, { onWarning: (message) => promptWarnings.push(message) })
  await mkdir(output.folder, { recursive: true }).catch((error: unknown) => {
    throw toIoError(output.folder, 'create the output folder', error)
  })
  const dtype = training.mixedPrecision === 'bf16' ? 'bfloat16' : 'float32'
  const { models, notes } = await loadStableDiffusion(model.path, {
    v2: model.v2 || undefined,
    vParameterization: model.vParameterization || undefined,
    vae: model.vae ?? undefined,
    dtypes: { unet: dtype, vae: dtype },
    hub: { signal: options.signal, onProgress: options.onDownload },
  })
  try {
    const described = config.network.noMetadata ? null : await describeModels(config)
    const tokenizer = await loadClipTokenizer({ variant: models.config.version === 2 ? 'sd2' : 'sd1' })
    return new TrainNetworkSession({
      config,
      seed,
      group,
      models,
      tokenizer,
      prompts,
      described,
      optimizerPlan,
      latentCache: await openLatentCache(config, models, options),
      warnings: [
        ...notes,
        ...group.warnings,
        ...promptWarnings,
        ...conditioningWarnings(models.config, model.clipSkip),
        ...optimizerPlan.messages,
      ],
      options,
    })
  } catch (error) {
    models.dispose()
    throw error
  }
}

async function openLatentCache(
  config: TrainNetworkConfig,
  { vae }: StableDiffusion,
  { fileSystem }: TrainNetworkOptions,
): Promise<LatentCache | null> {
  const { cacheLatents, cacheLatentsToDisk = false, cacheFolder, vaeBatchSize, ignoreExif = false } = config.data
  if (!cacheLatents && !cacheLatentsToDisk) return null
  const store = cacheLatentsToDisk ? await LatentStore.open(cachesFolder(cacheFolder), vae, { fileSystem }) : null
  return new LatentCache({ vae, store, batchSize: vaeBatchSize, ignoreExif, ...workersOf(config) })
}

/** Pictures decoded at a time. */
function workersOf({ data: { workers } }: TrainNetworkConfig): { readonly workers?: number } {
  return workers === undefined ? {} : { workers: Math.min(workers, availableParallelism()) }
}

async function describeModels({ model }: TrainNetworkConfig): Promise<DescribedModels> {
  const [base, vae] = await Promise.all([
    modelFacts(model.path),
    model.vae === null ? undefined : modelFacts(model.vae),
  ])
  return { model: base, ...(vae === undefined ? {} : { vae }) }
}

/** A seed for a run that was given none: a whole number below 2^32. */
function drawSeed(): number {
  return crypto.getRandomValues(new Uint32Array(1))[0]!
}

interface SessionParts {
  readonly config: TrainNetworkConfig
  readonly seed: number
  readonly group: DatasetGroup
  readonly models: StableDiffusion
  readonly tokenizer: ClipTokenizer
  readonly prompts: readonly PromptSpec[]
  readonly described: DescribedModels | null
  readonly optimizerPlan: OptimizerPlan
  readonly latentCache: LatentCache | null
  /** About the model, the data, the prompts and the optimizer. */
  readonly warnings: readonly string[]
  readonly options: TrainNetworkOptions
}

class TrainNetworkSession {
  readonly #config: TrainNetworkConfig
  readonly #seed: number
  readonly #group: DatasetGroup
  readonly #warnings: string[]
  readonly #method: LoraMethod
  readonly #trainer: Trainer
  readonly #groups: readonly OptimizerGroup[]
  readonly #learningRate: RateFunction
  readonly #output: LoraOutput
  readonly #plan: StepPlan
  readonly #cache: LatentCache | null
  readonly #batches: TrainBatches
  readonly #average = new LossAverage()
  readonly #skipped = new SkippedSteps()
  readonly #disposers: (() => void)[] = []

  constructor(parts: SessionParts) {
    const { config, seed, group, models, tokenizer, prompts, described, optimizerPlan, warnings } = parts
    const { model, network, training, optimizer } = config
    const { plan: rates } = optimizerPlan
    this.#config = config
    this.#seed = seed
    this.#group = group
    this.#warnings = [...warnings]
    this.#plan = planSteps(group.batchesPerEpoch, training)
    models.unet.gradientCheckpointing = training.gradientCheckpointing
    models.textEncoder.gradientCheckpointing = training.gradientCheckpointing
    this.#method = new LoraMethod(models, tokenizer, {
      rank: network.dim ?? 4,
      alpha: network.alpha ?? 1,
      dropout: network.dropout,
      blockWeights: network.blockWeights ?? null,
      seed,
      trainUnet: network.trainUnet,
      trainTextEncoder: network.trainTextEncoder,
      cacheCaptions: config.data.cacheTextEncoderOutputs === true,
      weightedCaptions: config.data.weightedCaptions === true,
      captions: {
        clipSkip: model.clipSkip ?? 1,
        sequenceLength: model.maxTokenLength === null ? 77 : model.maxTokenLength === 150 ? 152 : 227,
        dtype: models.unet.registry.dtype,
      },
    })
    this.#groups = loraParameterGroups(this.#method.network, {
      // An optimizer that finds its own rate shows this one before its first step.
      learningRate: rates.learningRate ?? optimizer.learningRate,
      unetLearningRate: rates.unetLearningRate,
      textEncoderLearningRate: rates.textEncoderLearningRate,
      blockWeights: network.blockWeights ?? null,
      loraPlus: network.loraPlus ?? null,
    })
    this.#learningRate = makeSchedule(optimizerPlan, this.#plan.totalSteps)
    if (network.blockWeights || network.loraPlus) this.#warnings.push(...groupRateAdvice(optimizerPlan, this.#groups))
    const stepper = this.#makeOptimizer(optimizerPlan)
    this.#trainer = new Trainer({
      unet: models.unet,
      method: this.#method,
      optimizer: stepper,
      noise: {
        seed: group.seed,
        schedule: noiseSchedule(),
        predictionType: models.config.predictionType,
        noiseOffset: training.noiseOffset,
        adaptiveNoiseScale: training.adaptiveNoiseScale,
      },
      loss: { minSnrGamma: training.minSnrGamma },
      gradientAccumulationSteps: training.gradientAccumulationSteps,
      maxGradNorm: optimizer.maxGradNorm,
    })
    this.#cache = parts.latentCache
    this.#batches = new TrainBatches(group, {
      vae: models.vae,
      cache: this.#cache,
      ignoreExif: config.data.ignoreExif ?? false,
      ...workersOf(config),
    })
    this.#output = new LoraOutput({
      config,
      seed,
      group,
      models,
      tokenizer,
      prompts,
      described,
      network: this.#method.network,
      optimizer: stepper,
      optimizerPlan,
      plan: this.#plan,
      ...parts.options,
    })
    this.#disposers.push(
      () => this.#cache?.clear(),
      () => stepper.dispose(),
      () => this.#method.dispose(),
      () => models.dispose(),
    )
  }

  /** An optimizer that refuses its arguments leaves no network behind. */
  #makeOptimizer(plan: OptimizerPlan): Optimizer {
    try {
      return makeOptimizer(plan, this.#groups)
    } catch (error) {
      this.#method.dispose()
      throw error
    }
  }

  dispose(): void {
    for (const dispose of this.#disposers.splice(0)) dispose()
  }

  async *run(signal: AbortSignal | undefined): AsyncGenerator<TrainEvent> {
    const { totalSteps, epochCount } = this.#plan
    yield* this.#start(signal)
    let step = 0
    let epoch = 0
    const started = performance.now()
    while (step < totalSteps && !signal?.aborted) {
      epoch++
      yield { type: 'epoch', epoch, epochCount }
      let batchNumber = 0
      let position = 0
      for await (const batch of this.#batches.epoch(epoch, this.#progress(step))) {
        batchNumber++
        await this.#trainer.accumulate(batch)
        batch.latents.dispose()
        const last = batchNumber === this.#group.batchesPerEpoch
        if (this.#trainer.accumulated < this.#config.training.gradientAccumulationSteps && !last) continue
        const rates = this.#groups.map(({ learningRate }, group) => this.#learningRate(step, learningRate, group))
        const { loss, gradientNorm, nonFinite, effectiveLearningRates } = await this.#trainer.update(rates)
        step++
        this.#average.add(position++, loss)
        if (!Number.isFinite(loss))
          yield { type: 'warning', message: `step ${step}: the loss is ${loss}; lower the learning rate` }
        const skipped = this.#skipped.add(step, nonFinite)
        if (skipped !== null) yield { type: 'warning', message: skipped }
        yield {
          type: 'step',
          step,
          totalSteps,
          epoch,
          loss,
          gradientNorm,
          skippedSteps: this.#skipped.count,
          averageLoss: this.#average.value,
          learningRates: this.#byGroup(rates),
          effectiveLearningRates: effectiveLearningRates && this.#byGroup(effectiveLearningRates),
          stepsPerSecond: (1000 * step) / (performance.now() - started),
        }
        yield* this.#output.afterStep(step, epoch - 1)
        if (step >= totalSteps || signal?.aborted) break
      }
      yield { type: 'epochEnd', epoch, averageLoss: this.#average.value }
      if (!signal?.aborted) yield* this.#output.afterEpoch(step, epoch)
    }
    const reason = signal?.aborted ? 'interrupted' : 'finished'
    if (step === 0) {
      yield { type: 'end', reason, step, path: null }
      return
    }
    if (!this.#output.final) yield await this.#output.saveFinal(step, signal?.aborted ? epoch : epochCount)
    yield { type: 'end', reason, step, path: this.#output.final?.path ?? null }
  }

  async *#start(signal: AbortSignal | undefined): AsyncGenerator<TrainEvent> {
    const group = this.#group
    const { network } = this.#method
    for (const message of this.#warnings) yield { type: 'warning', message }
    yield {
      type: 'start',
      seed: this.#seed,
      ...this.#plan,
      batchesPerEpoch: group.batchesPerEpoch,
      trainImageCount: group.trainImageCount,
      regImageCount: group.regImageCount,
      trainableParameters: network.parameters().reduce((sum, { master }) => sum + master.size, 0),
      moduleCount: network.modules.length,
      report: describeDatasetGroup(group),
    }
    if (this.#cache !== null) yield* this.#cache.fill(group, { signal })
    const { textCache } = this.#method
    if (textCache !== null) yield* textCache.fill(group, signal)
  }

  /** @param step optimizer steps done */
  #progress(step: number): EpochProgress {
    return {
      firstStep: step,
      batchesPerStep: this.#config.training.gradientAccumulationSteps,
      totalSteps: this.#plan.totalSteps,
    }
  }

  #byGroup(rates: readonly number[]): Record<string, number> {
    return Object.fromEntries(this.#groups.map(({ name }, group) => [name, rates[group]!]))
  }
}
