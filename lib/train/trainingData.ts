import { inspectFile } from '../checkpoints/inspect.ts'
import type { AcceptedData } from '../config/datasetKinds.ts'
import { type DatasetGroup, loadDatasetGroup } from '../data/datasetGroup.ts'
import type { ClipTokenizerVariant } from '../models/clip/tokenizer.ts'
import { IoError } from '../util/errors.ts'
import type { TrainConfig } from './trainConfig.ts'

export interface TrainingDataOptions {
  readonly seed: number
  /** What the kind of training takes. Default: everything. */
  readonly accepts?: AcceptedData | undefined
}

/** The data of a training: every picture and caption looked at. Errors as for `loadDatasetGroup`. */
export async function loadTrainingData(
  { data, validation }: Pick<TrainConfig, 'data' | 'validation'>,
  { seed, accepts }: TrainingDataOptions,
): Promise<DatasetGroup> {
  const group = await loadDatasetGroup(data.source, {
    seed,
    ...(accepts === undefined ? {} : { accepts }),
    fallbacks: data.fallbacks,
    priorLossWeight: data.priorLossWeight,
    ...(validation ? { holdOut: { share: validation.split ?? 0, seed: validation.seed ?? seed } } : {}),
    maskedLoss: data.maskedLoss ?? false,
    cacheLatents: data.cacheLatents || data.cacheLatentsToDisk === true,
    cacheTextEncoderOutputs: data.cacheTextEncoderOutputs === true || data.cacheTextEncoderOutputsToDisk === true,
    allowOutside: data.allowOutside,
    scan: {
      onBadImage: data.onBadImage ?? 'error',
      onMissingCaption: data.onMissingCaption ?? 'error',
      ignoreExif: data.ignoreExif ?? false,
    },
  })
  return {
    ...group,
    warnings: [
      ...group.warnings,
      ...idleMeasuring(group, validation, data),
      ...idleWeight(group, data),
      ...idleAccess(group, data),
    ],
  }
}

/** What is said about measuring where no dataset of a description holds pictures out. For folders and metadata the options' rules tell. */
function idleMeasuring(
  { heldOut }: DatasetGroup,
  { everySteps, everyEpochs, maxBatches }: Partial<NonNullable<TrainConfig['validation']>> = {},
  { source }: TrainConfig['data'],
): string[] {
  if (heldOut !== undefined || 'trainDataDir' in source || 'metadataFile' in source) return []
  const given = {
    validate_every_n_steps: everySteps,
    validate_every_n_epochs: everyEpochs,
    max_validation_steps: maxBatches,
  }
  return Object.entries(given)
    .filter(([, value]) => value != null)
    .map(([name]) => `--${name} has no effect: no picture is held out, which validation_split asks for`)
}

/** What is said about the weight of regularization pictures where a description of the data has none. Without one, the options' rules tell. */
function idleWeight({ regImageCount }: DatasetGroup, { priorLossWeight, source }: TrainConfig['data']): string[] {
  if (priorLossWeight === 1 || regImageCount > 0 || 'trainDataDir' in source || 'metadataFile' in source) return []
  return ['--prior_loss_weight has no effect: no subset is of regularization pictures, which is_reg says']
}

/** What is said about leave to use files outside of a folder where no metadata have one. */
function idleAccess({ datasets }: DatasetGroup, { allowOutside = false }: TrainConfig['data']): string[] {
  const isConfined = datasets.some(({ config: { subsets } }) =>
    subsets.some(({ kind, imageDir }) => kind === 'fineTuning' && imageDir !== undefined),
  )
  if (!allowOutside || isConfined) return []
  return ['--allow_outside_image_dir has no effect: no metadata_file stands beside an image_dir that confines its keys']
}

/** Which tokenizer the model will use, from its index alone; that of 1.x where there is no such file and `--v2` is not given. */
export async function tokenizerVariant({ model }: Pick<TrainConfig, 'model'>): Promise<ClipTokenizerVariant> {
  if (model.v2) return 'sd2'
  try {
    return model.path !== '' && (await inspectFile(model.path)).version === 2 ? 'sd2' : 'sd1'
  } catch (error) {
    if (error instanceof IoError) return 'sd1'
    throw error
  }
}
