/** From a configuration to everything a training works with: data looked at, model loaded, prompts read. */
import { availableParallelism } from 'node:os'
import { deferStableDiffusion } from '../checkpoints/loadStableDiffusion.ts'
import type { ModelFingerprints } from '../checkpoints/modelFingerprints.ts'
import type { DatasetGroup } from '../data/datasetGroup.ts'
import type { HubProgress } from '../hub/hubSnapshot.ts'
import type { WritableFileSystem } from '../io/atomicWrite.ts'
import { makeFolder } from '../io/makeFolder.ts'
import { type ClipTokenizer, loadClipTokenizer } from '../models/clip/tokenizer.ts'
import type { ModelPart, StableDiffusion } from '../models/stableDiffusion/stableDiffusion.ts'
import { type PromptSpec, readPromptFile } from '../preview/promptFile.ts'
import type { FloatDType } from '../tensor/dtype.ts'
import { ConfigError, DataError } from '../util/errors.ts'
import { isFileName } from '../util/fileName.ts'
import { BadPictures } from './badPictures.ts'
import type { TrainingControls } from './controls.ts'
import { eightBitParts } from './eightBitParts.ts'
import { conditioningWarnings } from './inputs/conditioning.ts'
import { checkGivenLatents } from './inputs/givenLatents.ts'
import { LatentCache } from './inputs/latentCache.ts'
import { cachesFolder, LatentStore } from './inputs/latentStore.ts'
import type { RunIdentity, TrainingKind } from './method.ts'
import { expectNoProblems, type OptimizerPlan, planOptimizer } from './optimizerPlan.ts'
import { openTrainState, type SavedTraining } from './state/openTrainState.ts'
import { resumeFolder } from './state/resumeFolder.ts'
import { checkNoise } from './step/checkNoise.ts'
import { fusedBackwardProblems } from './step/fusedBackwardRules.ts'
import type { MixedPrecision, TrainConfig } from './trainConfig.ts'
import { loadTrainingData } from './trainingData.ts'
import { deviceOf, expectDevice, expectNoFolder } from './trainingDevice.ts'

export interface TrainingOptions {
  /**
   * Aborting it ends the training after the step under way, with a save; pictures still to be drawn are left out, the one
   * being drawn too, after its denoising step.
   */
  readonly signal?: AbortSignal | undefined
  /** How weights and previews are written. Default: `node:fs/promises`; a program may watch or limit the writes. */
  readonly fileSystem?: WritableFileSystem | undefined
  /** What others ask of the training while it runs. Default: nobody asks. */
  readonly controls?: TrainingControls | undefined
  /** How the download of a model or a state of the hub goes. */
  readonly onDownload?: ((progress: HubProgress) => void) | undefined
}

/** Everything but the method. The caller disposes the models and closes them, clears the cache and closes the state. */
export interface OpenedTraining {
  readonly seed: number
  readonly run: RunIdentity
  readonly group: DatasetGroup
  /** Read when it is used: parts that are needed for caches alone are gone before the others are read. */
  readonly models: StableDiffusion
  /** Of its files. */
  readonly fingerprints: ModelFingerprints
  /** Reads the rest of the models, and closes their files. */
  readonly finishModels: () => Promise<void>
  /** Closes them without. */
  readonly closeModels: () => Promise<void>
  readonly tokenizer: ClipTokenizer
  readonly prompts: readonly PromptSpec[]
  readonly optimizerPlan: OptimizerPlan
  readonly latentCache: LatentCache | null
  readonly badPictures: BadPictures
  /** What to go on from. */
  readonly resumed: SavedTraining | null
  /** About the model, the data, the prompts and the optimizer. */
  readonly warnings: readonly string[]
}

/**
 * Opens what a training needs, the cheap and the likely wrong first. Nothing stays open when it fails.
 * @throws ConfigError, DataError, CheckpointError, IoError or NativeError
 */
export async function openTraining<Config extends TrainConfig>(
  kind: TrainingKind<Config>,
  config: Config,
  options: TrainingOptions,
): Promise<OpenedTraining> {
  const { model, training, preview, output } = config
  const optimizerPlan = planOptimizer(config.optimizer, kind.trainedGroups(config))
  expectNoProblems(optimizerPlan)
  const fusedProblems = fusedBackwardProblems(kind, config, optimizerPlan)
  if (fusedProblems.length > 0) throw new ConfigError(fusedProblems.join('\n'), { option: 'fused_backward_pass' })
  if (output.name !== null && !isFileName(output.name)) {
    const message = `output.name must be the name of a file, without folders, found ${JSON.stringify(output.name)}`
    throw new ConfigError(message, { option: 'output.name' })
  }
  if (training.start && config.state?.resume) {
    const message =
      '--initial_step and --initial_epoch contradict --resume: a state goes on where it was saved. Leave them out'
    throw new ConfigError(message, { option: 'resume' })
  }
  const narrow = eightBitParts(config, kind.trainedParts(config))
  const device = deviceOf(config)
  expectNoFolder(device, optimizerPlan)
  await expectDevice(device)
  const resume = await resumeFolder(config, options)
  const resumed = resume === null ? null : await openTrainState(resume, { kind: kind.name, config })
  try {
    const seed = resumed?.manifest.seed ?? training.seed ?? drawUint32()
    const group = await loadTrainingData(config, { seed, accepts: kind.accepts })
    if (group.batchesPerEpoch === 0)
      throw new DataError(output.folder, 'there is nothing to train on: the data set has no images')
    resumed?.expectSameData(group)
    const promptWarnings: string[] = []
    const prompts =
      preview.promptFile === null
        ? []
        : await readPromptFile(preview.promptFile, {
            ...(preview.sampler && { sampler: preview.sampler }),
            onWarning: (message) => promptWarnings.push(message),
          })
    await makeFolder(output.folder)
    const { models, notes, finish, close, ...deferred } = await deferStableDiffusion(model.path, {
      v2: model.v2 || undefined,
      vParameterization: model.vParameterization || undefined,
      vae: model.vae ?? undefined,
      dtypes: partTypes(config, kind.trainedParts(config)),
      // What is merged into a weight is rounded together with it.
      eightBits: kind.mergesFirst?.(config) ? [] : narrow,
      device,
      hub: { signal: options.signal, onProgress: options.onDownload },
    })
    try {
      const fingerprints = await deferred.fingerprints()
      resumed?.expectSameModel(fingerprints, kind.trainedParts(config))
      await checkGivenLatents(group, models.vae)
      const badPictures = new BadPictures(config.data.onBadImage)
      return {
        seed,
        run: resumed?.manifest.run ?? { sessionId: drawUint32(), startedAt: Date.now() / 1000 },
        group,
        models,
        fingerprints,
        finishModels: finish,
        closeModels: close,
        tokenizer: await loadClipTokenizer({ variant: models.config.version === 2 ? 'sd2' : 'sd1' }),
        prompts,
        optimizerPlan,
        latentCache: await openLatentCache(config, { models, badPictures }, options),
        badPictures,
        resumed,
        warnings: [
          ...notes,
          ...group.warnings,
          ...promptWarnings,
          ...conditioningWarnings(models.config, model.clipSkip),
          ...checkNoise(config.noise ?? {}, models.config),
          ...optimizerPlan.messages,
          ...(resumed?.notes ?? []),
        ],
      }
    } catch (error) {
      models.dispose()
      await close()
      throw error
    }
  } catch (error) {
    await resumed?.close()
    throw error
  }
}

/** What the words of `mixed_precision` mean. */
export const computeTypes = { no: 'float32', fp16: 'float16', bf16: 'bfloat16' } as const satisfies Record<
  MixedPrecision,
  FloatDType
>

/** The type that frozen parts are computed in. */
export function computeType({ training }: TrainConfig): FloatDType {
  return computeTypes[training.mixedPrecision]
}

/** The type that the VAE is computed in. */
export function vaeType(config: TrainConfig): FloatDType {
  return config.training.noHalfVae === true ? 'float32' : computeType(config)
}

/**
 * Frozen parts are kept in the type they are computed in, the text encoder in float32 always: it is a small part of the work. Parts
 * that are trained are float32, unless they shall not be.
 */
function partTypes(config: TrainConfig, trained: readonly ModelPart[]): Readonly<Record<ModelPart, FloatDType>> {
  const compute = computeType(config)
  const full = config.training.fullPrecision === true
  const typeOf = (part: ModelPart): FloatDType => (trained.includes(part) && !full ? 'float32' : compute)
  return {
    unet: typeOf('unet'),
    textEncoder: full && trained.includes('textEncoder') ? compute : 'float32',
    vae: vaeType(config),
  }
}

async function openLatentCache(
  config: TrainConfig,
  { models: { vae }, badPictures }: Pick<OpenedTraining, 'models' | 'badPictures'>,
  { fileSystem }: TrainingOptions,
): Promise<LatentCache | null> {
  const { cacheLatents, cacheLatentsToDisk = false, cacheFolder, vaeBatchSize, ignoreExif = false } = config.data
  if (!cacheLatents && !cacheLatentsToDisk) return null
  const store = cacheLatentsToDisk ? await LatentStore.open(cachesFolder(cacheFolder), vae, { fileSystem }) : null
  return new LatentCache({ vae, store, badPictures, batchSize: vaeBatchSize, ignoreExif, ...workersOf(config) })
}

/** Pictures decoded at a time. */
export function workersOf({ data: { workers } }: TrainConfig): { readonly workers?: number } {
  return workers === undefined ? {} : { workers: Math.min(workers, availableParallelism()) }
}

/** A whole number below 2^32 by chance: a seed for a run that was given none, or a name for one. */
function drawUint32(): number {
  return crypto.getRandomValues(new Uint32Array(1))[0]!
}
