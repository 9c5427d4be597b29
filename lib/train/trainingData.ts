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
export function loadTrainingData(
  { data, validation }: Pick<TrainConfig, 'data' | 'validation'>,
  { seed, accepts }: TrainingDataOptions,
): Promise<DatasetGroup> {
  return loadDatasetGroup(data.source, {
    seed,
    ...(accepts === undefined ? {} : { accepts }),
    fallbacks: data.fallbacks,
    priorLossWeight: data.priorLossWeight,
    ...(validation?.split ? { holdOut: { share: validation.split, seed: validation.seed ?? seed } } : {}),
    maskedLoss: data.maskedLoss ?? false,
    cacheLatents: data.cacheLatents || data.cacheLatentsToDisk === true,
    cacheTextEncoderOutputs: data.cacheTextEncoderOutputs === true || data.cacheTextEncoderOutputsToDisk === true,
    allowOutside: data.allowOutside,
    scan: { onBadImage: data.onBadImage ?? 'error', ignoreExif: data.ignoreExif ?? false },
  })
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
