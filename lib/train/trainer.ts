/** The one loop of every kind of training, as an async iterator of events. */
import type { EpochProgress } from '../data/batches.ts'
import { describeDatasetGroup } from '../data/report.ts'
import { noiseSchedule } from '../diffusion/noiseSchedule.ts'
import type { ModelPart } from '../models/stableDiffusion/stableDiffusion.ts'
import { inEvaluation, type Optimizer } from '../optim/optimizer.ts'
import type { RateFunction } from '../optim/schedules/schedule.ts'
import { memory } from '../tensor/runtime.ts'
import { releaseUnused } from '../tensor/settle.ts'
import type { DeviceName } from '../tensor/tensor.ts'
import { OutOfMemoryError } from '../util/errors.ts'
import { narrowParts } from './eightBitParts.ts'
import type { MemoryUse, TrainEvent } from './events.ts'
import { limitKeptWeights } from './keptWeights.ts'
import type { TrainingKind, TrainingMethod } from './method.ts'
import { computeType, type OpenedTraining, openTraining, type TrainingOptions, workersOf } from './openTraining.ts'
import { groupRateAdvice, lowRateAdvice, makeOptimizer, makeSchedule } from './optimizerPlan.ts'
import { explainOutOfMemory } from './plan/explainMemory.ts'
import { planStart, type RunBeginning } from './plan/runStart.ts'
import { LossAverage, planSteps, type StepPlan } from './plan/schedule.ts'
import { dataFacts, type RunPosition } from './state/manifest.ts'
import { type RunCounters, StateKeeper } from './state/stateKeeper.ts'
import { TrainingGraphs } from './step/graphs.ts'
import { checkLossOptions } from './step/loss.ts'
import { describeOverflow, LossScaler } from './step/lossScaler.ts'
import { SkippedSteps } from './step/skippedSteps.ts'
import { TrainingStep } from './step/trainingStep.ts'
import { TrainBatches } from './trainBatches.ts'
import type { TrainConfig } from './trainConfig.ts'
import { deviceOf } from './trainingDevice.ts'
import { TrainingOutput } from './trainingOutput.ts'
import { Validation } from './validation.ts'

export interface RunOptions {
  /** As {@link TrainingOptions.signal}. */
  readonly signal?: AbortSignal | undefined
}

/**
 * A training that has been opened: data looked at, model loaded, method made.
 *
 *   const trainer = await Trainer.open(networkTraining, config)
 *   try {
 *     for await (const event of trainer.run({ signal })) console.log(event)
 *   } finally {
 *     trainer.dispose()
 *   }
 */
export class Trainer<Config extends TrainConfig = TrainConfig> {
  readonly method: TrainingMethod
  readonly plan: StepPlan
  readonly #config: Config
  readonly #opened: OpenedTraining
  readonly #options: TrainingOptions
  readonly #beginning: RunBeginning
  readonly #step: TrainingStep
  readonly #optimizer: Optimizer
  readonly #learningRate: RateFunction
  readonly #batches: TrainBatches
  readonly #validation: Validation | null
  readonly #state: StateKeeper
  readonly #average = new LossAverage()
  readonly #skipped: SkippedSteps
  readonly #lossScaler: LossScaler | null
  readonly #graphs: TrainingGraphs
  readonly #warnings: string[]
  readonly #trainedParts: readonly ModelPart[]
  readonly #disposers: (() => void)[] = []

  /**
   * @throws ConfigError, DataError, CheckpointError, IoError or NativeError; nothing stays open then
   */
  static async open<Config extends TrainConfig>(
    kind: TrainingKind<Config>,
    config: Config,
    options: TrainingOptions = {},
  ): Promise<Trainer<Config>> {
    const opened = await openTraining(kind, config, options)
    const made: (() => void)[] = []
    try {
      const { seed, run, group, models, tokenizer, optimizerPlan, resumed } = opened
      const { loss } = config
      if (typeof loss !== 'function') checkLossOptions(loss ?? {}, models.config.predictionType)
      const plan = planSteps(group.batchesPerEpoch, config.training)
      const { gradientAccumulationSteps } = config.training
      const counts = { batchesPerEpoch: group.batchesPerEpoch, gradientAccumulationSteps }
      const beginning = planStart(config.training.start, plan, counts)
      const { fileSystem } = options
      const context = { config, seed, run, group, models, tokenizer, optimizerPlan, plan, fileSystem }
      const method = await kind.create(context)
      made.push(() => method.dispose())
      narrowParts(models, config.training.eightBitParts ?? [])
      limitKeptWeights(models, config)
      const optimizer = makeOptimizer(optimizerPlan, method.groups, seed)
      made.push(() => optimizer.dispose())
      const trainer = new Trainer(kind, { config, opened, options, plan, beginning, method, optimizer })
      await resumed?.restore(method.groups, optimizer)
      return trainer
    } catch (error) {
      for (const dispose of made.reverse()) dispose()
      opened.models.dispose()
      await opened.closeModels()
      throw error
    } finally {
      await opened.resumed?.close()
    }
  }

  /** Use {@link Trainer.open}. */
  private constructor(
    kind: TrainingKind<Config>,
    parts: {
      readonly config: Config
      readonly opened: OpenedTraining
      readonly options: TrainingOptions
      readonly plan: StepPlan
      readonly beginning: RunBeginning
      readonly method: TrainingMethod
      readonly optimizer: Optimizer
    },
  ) {
    const { config, opened, options, plan, beginning, method, optimizer } = parts
    const { group, models, optimizerPlan, latentCache, badPictures } = opened
    const { training, loss = {} } = config
    const { zeroTerminalSnr = false, ...noise } = config.noise ?? {}
    this.method = method
    this.plan = plan
    this.#beginning = beginning
    this.#config = config
    this.#opened = opened
    this.#options = options
    this.#optimizer = optimizer
    this.#trainedParts = kind.trainedParts(config)
    this.#learningRate = makeSchedule(optimizerPlan, plan.totalSteps)
    const advice = [
      ...groupRateAdvice(optimizerPlan, method.groups),
      ...lowRateAdvice(optimizerPlan, method.groups, this.#learningRate, plan.totalSteps),
    ]
    // What is said of the options may hold for the groups in the same words.
    this.#warnings = [...new Set([...opened.warnings, ...(method.warnings ?? []), ...advice])]
    this.#skipped = new SkippedSteps({
      policy: training.onNonFinite,
      mostInARow: training.maxSkippedSteps,
      halfVae: models.vae.registry.dtype !== 'float32',
    })
    this.#lossScaler = computeType(config) === 'float16' ? new LossScaler() : null
    this.#graphs = new TrainingGraphs(config, method)
    this.#step = new TrainingStep({
      unet: method.unet,
      method,
      optimizer,
      weighsPictures: kind.weighsPictures ?? true,
      noise: {
        seed: group.seed,
        schedule: noiseSchedule({ zeroTerminalSnr }),
        predictionType: models.config.predictionType,
        noiseOffset: null,
        adaptiveNoiseScale: null,
        ...noise,
      },
      loss,
      gradientAccumulationSteps: training.gradientAccumulationSteps,
      maxGradNorm: config.optimizer.maxGradNorm,
      lossScaler: this.#lossScaler,
      fusedBackward: training.fusedBackwardPass ?? false,
      recorder: this.#graphs.recorder,
    })
    const batchOptions = {
      vae: models.vae,
      cache: latentCache,
      badPictures,
      ignoreExif: config.data.ignoreExif ?? false,
      ...workersOf(config),
    }
    this.#batches = new TrainBatches(group, batchOptions)
    const { heldOut } = group
    this.#validation =
      heldOut === undefined
        ? null
        : new Validation(
            this.#step,
            method,
            new TrainBatches(heldOut, { ...batchOptions, measuredSeeds: heldOut.seeds }),
            config,
          )
    const { seed, run, fingerprints } = opened
    const { fileSystem } = options
    this.#state = new StateKeeper({
      kind: kind.name,
      config,
      seed,
      run,
      model: fingerprints,
      data: dataFacts(group),
      method,
      optimizer,
      fileSystem,
    })
    this.#disposers.push(
      () => latentCache?.clear(),
      () => this.#step.dispose(),
      () => this.#graphs.dispose(),
      () => optimizer.dispose(),
      () => method.dispose(),
      () => models.dispose(),
      () => void opened.closeModels(),
    )
  }

  /** Frees everything. A second call does nothing. */
  dispose(): void {
    for (const dispose of this.#disposers.splice(0)) dispose()
  }

  /** Trains to the end, or until the signal. It can be asked for once. */
  async *run({ signal = this.#options.signal }: RunOptions = {}): AsyncGenerator<TrainEvent> {
    try {
      yield* this.#run(signal)
    } catch (error) {
      if (!(error instanceof OutOfMemoryError)) throw error
      throw await explainOutOfMemory(error, this.#opened.group, this.#config, this.#trainedParts)
    }
  }

  async *#run(signal: AbortSignal | undefined): AsyncGenerator<TrainEvent> {
    const { epochCount } = this.plan
    const { position, lastStep } = this.#beginning
    const { batchesPerEpoch } = this.#opened.group
    const output = this.#openOutput(signal)
    yield* this.#start(output, signal)
    const at = this.#opened.resumed?.position(this.#counters) ?? { ...position }
    const pace = { started: performance.now(), from: at.step }
    this.#step.passes = at.passes
    yield* output.atFirst(at)
    // The state is of the last step of an epoch, and what was due after it was never done.
    if (at.batch >= batchesPerEpoch && at.epochEnded === false && !signal?.aborted) yield* this.#endEpoch(output, at)
    let rates: readonly number[] = []
    while (at.step < lastStep && !signal?.aborted) {
      if (at.batch >= batchesPerEpoch || at.epoch === 0)
        Object.assign(at, { epoch: at.epoch + 1, batch: 0, position: 0 })
      yield { type: 'epoch', epoch: at.epoch, epochCount }
      for await (const batch of this.#batches.epoch(at.before.epochs + at.epoch, this.#progress(at), at.batch)) {
        yield* this.#leftOut()
        if (this.#step.accumulated === 0) {
          for (const message of this.method.beginStep?.(at.step) ?? []) yield { type: 'warning', message }
          rates = this.#rates(at)
        }
        await this.#step.accumulate(batch, rates).finally(() => batch.latents.dispose())
        for (const message of this.#graphs.takeMessages()) yield { type: 'warning', message }
        at.batch++
        at.passes = this.#step.passes
        const last = at.batch === batchesPerEpoch
        if (this.#step.accumulated < this.#config.training.gradientAccumulationSteps && !last) {
          await this.method.afterPass?.()
          continue
        }
        yield* this.#update(at, rates, pace)
        yield* output.afterStep(at)
        yield* this.#validate('step', at)
        if (at.step >= lastStep || signal?.aborted) break
      }
      yield { type: 'epochEnd', epoch: at.epoch, averageLoss: this.#average.value }
      if (!signal?.aborted) yield* this.#endEpoch(output, at)
    }
    yield* output.atEnd(at, signal?.aborted === true)
  }

  /** What is due after an epoch. */
  async *#endEpoch(output: TrainingOutput, at: RunPosition): AsyncGenerator<TrainEvent> {
    at.epochEnded = true
    yield* output.afterEpoch(at)
    yield* this.#validate('epoch', at)
  }

  /** One optimizer step and what there is to say of it. */
  async *#update(
    at: RunPosition,
    rates: readonly number[],
    pace: { readonly started: number; readonly from: number },
  ): AsyncGenerator<TrainEvent> {
    const { loss, gradientNorm, fault, overflow, effectiveLearningRates } = await this.#step.update(rates)
    const lossScaler = this.#lossScaler?.state()
    const measures = await this.method.afterPass?.()
    at.step++
    at.epochEnded = false
    this.#average.add(at.position++, loss)
    const skipped =
      lossScaler && overflow ? describeOverflow(at.step, lossScaler, fault) : this.#skipped.add(at.step, fault)
    if (skipped !== null) yield { type: 'warning', message: skipped }
    yield {
      type: 'step',
      step: at.step,
      totalSteps: this.#beginning.lastStep,
      epoch: at.epoch,
      loss,
      gradientNorm,
      skippedSteps: this.#skipped.count,
      lossScaler,
      averageLoss: this.#average.value,
      learningRates: this.#byGroup(rates),
      effectiveLearningRates: effectiveLearningRates && this.#byGroup(effectiveLearningRates),
      stepsPerSecond: (1000 * (at.step - pace.from)) / (performance.now() - pace.started),
      memory: memoryUse(deviceOf(this.#config)),
      measures,
    }
  }

  /** Of the groups in the next step. */
  #rates({ before, step }: RunPosition): number[] {
    // They stand still while a step overflows.
    const taken = before.steps + step - (this.#lossScaler?.overflows ?? 0)
    return this.method.groups.map(({ learningRate }, group) => this.#learningRate(taken, learningRate, group))
  }

  async *#validate(by: 'step' | 'epoch', at: RunPosition): AsyncGenerator<TrainEvent> {
    if (this.#validation === null || !this.#validation.isDue(by, at[by])) return
    const loss = await inEvaluation(this.#optimizer, () => this.#validation!.measure())
    yield* this.#leftOut()
    yield { type: 'validation', by, step: at.step, epoch: at.epoch, loss, trainingLoss: this.#average.value }
  }

  /** Pictures that turned out to be damaged. */
  *#leftOut(): Generator<TrainEvent, void, void> {
    for (const message of this.#opened.badPictures.takeMessages()) yield { type: 'warning', message }
  }

  get #counters(): RunCounters {
    return { average: this.#average, skipped: this.#skipped, lossScaler: this.#lossScaler }
  }

  #openOutput(signal: AbortSignal | undefined): TrainingOutput {
    const { seed, prompts } = this.#opened
    return new TrainingOutput({
      config: this.#config,
      seed,
      prompts,
      measures: this.#validation !== null,
      plan: this.plan,
      method: this.method,
      optimizer: this.#optimizer,
      saveState: (folder, at) => this.#state.save(folder, at, this.#counters),
      signal,
      controls: this.#options.controls,
      fileSystem: this.#options.fileSystem,
    })
  }

  async *#start({ planned }: TrainingOutput, signal: AbortSignal | undefined): AsyncGenerator<TrainEvent> {
    const { group, seed, latentCache, prompts, models, finishModels } = this.#opened
    for (const message of this.#warnings) yield { type: 'warning', message }
    const parameters = this.method.groups.flatMap(({ params }) => params)
    yield {
      type: 'start',
      seed,
      ...this.plan,
      totalSteps: this.#beginning.lastStep,
      batchesPerEpoch: group.batchesPerEpoch,
      trainImageCount: group.trainImageCount,
      regImageCount: group.regImageCount,
      trainableParameters: parameters.reduce((sum, { master }) => sum + master.size, 0),
      moduleCount: this.method.moduleCount,
      report: describeDatasetGroup(group),
      planned,
      options: this.#config.logging.options,
    }
    if (latentCache !== null) yield* latentCache.fill(group, { signal })
    if (latentCache !== null && group.heldOut) yield* latentCache.fill(group.heldOut, { signal })
    // Only previews decode. What is cached in memory is encoded for good; what files hold may be lost, and is made again.
    if (prompts.length === 0 && !signal?.aborted) {
      if (latentCache === null || latentCache.mayEncodeAgain) models.vae.releaseDecoder()
      else models.release('vae')
    }
    if (this.method.prepare !== undefined) yield* this.method.prepare(signal)
    const device = deviceOf(this.#config)
    await releaseUnused(device)
    if (signal?.aborted) return
    await finishModels()
    await releaseUnused(device)
  }

  #progress({ step, batch }: RunPosition): EpochProgress {
    const { gradientAccumulationSteps } = this.#config.training
    return {
      // As if the epoch had been begun at its start: its first batches have been steps already.
      firstStep: step - Math.ceil(batch / gradientAccumulationSteps),
      batchesPerStep: gradientAccumulationSteps,
      totalSteps: this.plan.totalSteps,
    }
  }

  #byGroup(rates: readonly number[]): Record<string, number> {
    return Object.fromEntries(this.method.groups.map(({ name }, group) => [name, rates[group]!]))
  }
}

function memoryUse(device: DeviceName): MemoryUse {
  const { liveBytes, peakBytes } = memory(device)
  return { processBytes: process.memoryUsage.rss(), liveBytes, peakBytes }
}
