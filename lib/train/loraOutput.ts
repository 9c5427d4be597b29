/** What a LoRA training writes: the file, every so often and at the end, and previews made from the file just written. */
import { mkdir } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { datasetMetadata } from '../data/bookkeeping.ts'
import type { DatasetGroup } from '../data/datasetGroup.ts'
import type { WritableFileSystem } from '../io/atomicWrite.ts'
import type { ClipTokenizer } from '../models/clip/tokenizer.ts'
import type { StableDiffusion } from '../models/stableDiffusion/stableDiffusion.ts'
import { readKohyaLora, writeKohyaLora } from '../networks/kohyaLora.ts'
import { attachLora, type LoraNetwork } from '../networks/lora.ts'
import { loraMetadata, minimalLoraMetadata, type NetworkFacts, type TrainingFacts } from '../networks/metadata.ts'
import { float } from '../networks/pythonText.ts'
import { inEvaluation, type Optimizer } from '../optim/optimizer.ts'
import { samplePicture } from '../preview/pipeline.ts'
import { type RgbImage, sampleFileName, writePng } from '../preview/png.ts'
import type { PromptSpec } from '../preview/promptSpec.ts'
import type { PreviewEvent, SaveEvent } from './events.ts'
import { type OptimizerPlan, recordedOptimizer, recordedSchedule } from './optimizerPlan.ts'
import { outputName, type StepPlan } from './schedule.ts'
import type { TrainNetworkConfig } from './trainNetworkConfig.ts'

/** The model that is trained on, and the VAE that was given in place of its own. */
export type DescribedModels = Required<Pick<TrainingFacts, 'model'>> & Pick<TrainingFacts, 'vae'>

export interface LoraOutputParts {
  readonly config: TrainNetworkConfig
  readonly seed: number
  readonly group: DatasetGroup
  readonly models: StableDiffusion
  readonly tokenizer: ClipTokenizer
  readonly prompts: readonly PromptSpec[]
  /** Null: the files get no metadata that needs it. */
  readonly described: DescribedModels | null
  readonly network: LoraNetwork
  /** Switched to the values to be saved, if it has such. */
  readonly optimizer: Optimizer
  readonly optimizerPlan: OptimizerPlan
  readonly plan: StepPlan
  /** Once aborted, no more pictures are drawn. */
  readonly signal?: AbortSignal | undefined
  /** See `TrainNetworkOptions`. */
  readonly fileSystem?: WritableFileSystem | undefined
}

type Moment = { readonly epoch: number } | { readonly step: number }

export class LoraOutput {
  readonly #parts: LoraOutputParts
  #final: SaveEvent | null = null
  readonly #startedAt = Date.now() / 1000
  readonly #sessionId = crypto.getRandomValues(new Uint32Array(1))[0]!

  constructor(parts: LoraOutputParts) {
    this.#parts = parts
  }

  /** @param epochsDone complete epochs before this step */
  async *afterStep(step: number, epochsDone: number): AsyncGenerator<SaveEvent | PreviewEvent> {
    const { output, preview } = this.#parts.config
    const draws = preview.everyEpochs === null && isDue(step, preview.everySteps) && this.#parts.prompts.length > 0
    if (!draws && !isDue(step, output.saveEverySteps)) return
    const saved = await this.#save({ step }, step, epochsDone)
    yield saved
    if (draws) yield* this.#draw(saved.path, { step }, step, epochsDone)
  }

  /** @param epoch counted from 1 */
  async *afterEpoch(step: number, epoch: number): AsyncGenerator<SaveEvent | PreviewEvent> {
    const { output, preview } = this.#parts.config
    const last = epoch >= this.#parts.plan.epochCount
    const draws = isDue(epoch, preview.everyEpochs) && this.#parts.prompts.length > 0
    if (!draws && (last || !isDue(epoch, output.saveEveryEpochs))) return
    const saved = last ? await this.saveFinal(step, epoch) : await this.#save({ epoch }, step, epoch)
    yield saved
    if (draws) yield* this.#draw(saved.path, { epoch }, step, epoch)
  }

  /** The last file of the run, once it has been written. */
  get final(): SaveEvent | null {
    return this.#final
  }

  async saveFinal(step: number, epoch: number): Promise<SaveEvent> {
    this.#final = await this.#save('end', step, epoch)
    return this.#final
  }

  async #save(at: Moment | 'end', step: number, epoch: number): Promise<SaveEvent> {
    const { config, network, optimizer, fileSystem } = this.#parts
    const path = join(config.output.folder, outputName(config.output.name, at, '.safetensors'))
    const { dim, alpha, dropout, args, noMetadata } = config.network
    const facts: NetworkFacts = { module: 'networks.lora', dim, alpha, dropout, ...(args && { args }) }
    const save = { steps: step, epoch, finishedAt: Date.now() / 1000 }
    const metadata = noMetadata ? minimalLoraMetadata(facts) : loraMetadata(this.#facts(facts), save)
    const { savePrecision } = config.output
    const bytes = await writeKohyaLora(path, await inEvaluation(optimizer, () => network.toKohya()), {
      metadata,
      integerAlpha: alpha === null,
      ...(fileSystem === undefined ? {} : { fileSystem }),
      ...(savePrecision === null ? {} : { precision: savePrecision }),
    })
    return { type: 'save', path, step, epoch, bytes }
  }

  #facts(network: NetworkFacts): TrainingFacts {
    const { config, seed, group, plan, models, described, optimizerPlan } = this.#parts
    const { plan: rates } = optimizerPlan
    const { model, data, optimizer, training, output } = config
    const { warmupSteps } = optimizer
    return {
      sessionId: this.#sessionId,
      startedAt: this.#startedAt,
      outputName: output.name,
      learningRate: rates.learningRate,
      textEncoderLearningRate: rates.textEncoderLearningRate,
      unetLearningRate: rates.unetLearningRate,
      trainImageCount: group.trainImageCount,
      regImageCount: group.regImageCount,
      batchesPerEpoch: group.batchesPerEpoch,
      epochCount: plan.epochCount,
      gradientCheckpointing: training.gradientCheckpointing,
      gradientAccumulationSteps: training.gradientAccumulationSteps,
      maxTrainSteps: plan.totalSteps,
      warmupSteps: typeof warmupSteps === 'number' ? warmupSteps : float(warmupSteps.share)!,
      scheduler: recordedSchedule(optimizerPlan),
      network,
      mixedPrecision: training.mixedPrecision,
      fullFp16: false,
      v2: models.config.version === 2,
      clipSkip: model.clipSkip,
      maxTokenLength: model.maxTokenLength,
      cacheLatents: data.cacheLatents || data.cacheLatentsToDisk === true,
      seed,
      lowRam: false,
      noiseOffset: training.noiseOffset,
      multiresNoiseIterations: null,
      multiresNoiseDiscount: 0.3,
      adaptiveNoiseScale: training.adaptiveNoiseScale,
      trainingComment: config.network.trainingComment,
      optimizer: recordedOptimizer(optimizerPlan),
      maxGradNorm: optimizer.maxGradNorm,
      // As the command line gave them: those of single subsets are not recorded.
      captionDropoutRate: data.fallbacks.caption_dropout_rate ?? 0,
      captionDropoutEveryEpochs: data.fallbacks.caption_dropout_every_n_epochs ?? 0,
      captionTagDropoutRate: data.fallbacks.caption_tag_dropout_rate ?? 0,
      faceCropAugRange: data.fallbacks.face_crop_aug_range ?? null,
      priorLossWeight: data.priorLossWeight,
      minSnrGamma: training.minSnrGamma,
      scaleWeightNorms: null,
      ...described,
      data: datasetMetadata(group),
    }
  }

  /** Previews from the file: what is drawn is what the user will load. Ends early, without an error, when aborted. */
  async *#draw(path: string, at: Moment, step: number, epoch: number): AsyncGenerator<PreviewEvent> {
    const { config, models, network, prompts, signal } = this.#parts
    if (signal?.aborted) return
    const { modules } = await readKohyaLora(path)
    network.setTraining(false)
    const detach = attachLora([...modules.values()], models)
    try {
      for (const [index, prompt] of prompts.entries()) {
        const picture = await this.#picture(prompt, index)
        if (picture === null) return
        const name = sampleFileName({
          outputName: config.output.name ?? undefined,
          time: new Date(),
          at,
          index,
          seed: prompt.seed,
        })
        const file = join(config.output.folder, 'sample', name)
        await mkdir(dirname(file), { recursive: true })
        await writePng(file, picture, this.#parts)
        yield { type: 'preview', path: file, prompt: prompt.prompt, step, epoch }
      }
    } finally {
      detach()
      network.setTraining(true)
    }
  }

  /** Null when drawing was aborted. */
  async #picture(prompt: PromptSpec, index: number): Promise<RgbImage | null> {
    const { config, models, tokenizer, seed, signal } = this.#parts
    const options = { clipSkip: config.model.clipSkip ?? 1, seed: seed + index, signal }
    try {
      return await samplePicture(models, tokenizer, prompt, options)
    } catch (error) {
      if (signal?.aborted && error === signal.reason) return null
      throw error
    }
  }
}

function isDue(count: number, every: number | null): boolean {
  return every !== null && count % every === 0
}
