/** What the metadata of files records about a training. */
import { datasetMetadata } from '../../data/bookkeeping.ts'
import type { NetworkFacts, TrainingFacts } from '../../networks/metadata.ts'
import { float } from '../../networks/pythonText.ts'
import type { TrainingContext } from '../method.ts'
import { recordedOptimizer, recordedSchedule } from '../optimizerPlan.ts'
import type { TrainNetworkConfig } from '../trainConfig.ts'
import { laterFacts } from './laterFacts.ts'
import { modelFacts } from './modelFacts.ts'

/** The model that is trained on, and the VAE that was given in place of its own. */
export type DescribedModels = Required<Pick<TrainingFacts, 'model'>> & Pick<TrainingFacts, 'vae'>

/** Names and hashes of the files; reading a large one takes seconds. */
export async function describeModels({ model }: Pick<TrainNetworkConfig, 'model'>): Promise<DescribedModels> {
  const [base, vae] = await Promise.all([
    modelFacts(model.path),
    model.vae === null ? undefined : modelFacts(model.vae),
  ])
  return { model: base, ...(vae === undefined ? {} : { vae }) }
}

/** The facts of a training of a network. */
export function trainingFacts(
  context: TrainingContext<TrainNetworkConfig>,
  network: NetworkFacts,
  described: DescribedModels,
): TrainingFacts {
  const { config, seed, run, group, plan, models, optimizerPlan } = context
  const { plan: rates } = optimizerPlan
  const { model, data, optimizer, training, output, noise = {} } = config
  const loss = typeof config.loss === 'function' ? {} : (config.loss ?? {})
  const { warmupSteps } = optimizer
  return {
    ...run,
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
    fullFp16: training.mixedPrecision === 'fp16' && training.fullPrecision === true,
    v2: models.config.version === 2,
    clipSkip: model.clipSkip,
    maxTokenLength: model.maxTokenLength,
    cacheLatents: data.cacheLatents || data.cacheLatentsToDisk === true,
    seed,
    lowRam: false,
    noiseOffset: noise.noiseOffset ?? null,
    multiresNoiseIterations: noise.multiresNoiseIterations ?? null,
    multiresNoiseDiscount: noise.multiresNoiseDiscount ?? 0.3,
    adaptiveNoiseScale: noise.adaptiveNoiseScale ?? null,
    trainingComment: config.network.trainingComment,
    optimizer: recordedOptimizer(optimizerPlan),
    maxGradNorm: optimizer.maxGradNorm,
    // As the command line gave them: those of single subsets are not recorded.
    captionDropoutRate: data.fallbacks.caption_dropout_rate ?? 0,
    captionDropoutEveryEpochs: data.fallbacks.caption_dropout_every_n_epochs ?? 0,
    captionTagDropoutRate: data.fallbacks.caption_tag_dropout_rate ?? 0,
    faceCropAugRange: data.fallbacks.face_crop_aug_range ?? null,
    priorLossWeight: data.priorLossWeight,
    minSnrGamma: loss.minSnrGamma ?? null,
    scaleWeightNorms: config.network.scaleWeightNorms ?? null,
    ...described,
    later: laterFacts(config, models.config),
    data: datasetMetadata(group, {
      gradientAccumulationSteps: training.gradientAccumulationSteps,
      hashNames: config.output.hashDatasetNames ?? false,
    }),
  }
}
