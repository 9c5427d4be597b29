import type { TrainingKind } from '../method.ts'
import type { DreamBoothConfig } from '../trainConfig.ts'
import { trainedGroupsOf, trainedPartsOf, WholeModelMethod } from './wholeModel.ts'

/**
 * `train-db`: U-Net and text encoder on a few pictures of a subject, with regularization pictures of its class (Ruiz et al.,
 * "DreamBooth", 2023).
 */
export const dreamBooth: TrainingKind<DreamBoothConfig> = {
  name: 'train-db',
  trackerName: 'dreambooth',
  accepts: { kinds: ['dreambooth'], network: false },
  trainedParts: (config) => trainedPartsOf(trainsTextEncoder(config)),
  trainedGroups: (config) => trainedGroupsOf(trainsTextEncoder(config), config.dreamBooth.textEncoderLearningRate),
  create(context) {
    const { stopTextEncoderTraining, textEncoderLearningRate, noTokenPadding = false } = context.config.dreamBooth
    return WholeModelMethod.create(context, {
      trainTextEncoder: trainsTextEncoder(context.config),
      textEncoderLearningRate,
      textEncoderSteps: stopTextEncoderTraining ?? Number.POSITIVE_INFINITY,
      noTokenPadding,
    })
  },
}

/** 0 is not negative: the text encoder is among what is trained then, and never changes. */
function trainsTextEncoder({ dreamBooth: { stopTextEncoderTraining } }: DreamBoothConfig): boolean {
  return stopTextEncoderTraining === null || stopTextEncoderTraining >= 0
}
