import type { TrainingKind } from '../method.ts'
import type { FineTuneConfig } from '../trainConfig.ts'
import { trainedGroupsOf, trainedPartsOf, WholeModelMethod } from './wholeModel.ts'

/** `fine-tune`: the U-Net, and the text encoder where asked for, on pictures that metadata describe. Loss weights of pictures do not count. */
export const fineTuning: TrainingKind<FineTuneConfig> = {
  name: 'fine-tune',
  trackerName: 'finetuning',
  accepts: { kinds: ['fineTuning'], network: false },
  weighsPictures: false,
  trainedParts: ({ fineTune }) => trainedPartsOf(fineTune.trainTextEncoder),
  trainedGroups: ({ fineTune }) => trainedGroupsOf(fineTune.trainTextEncoder, fineTune.textEncoderLearningRate),
  create: (context) =>
    WholeModelMethod.create(context, {
      ...context.config.fineTune,
      textEncoderSteps: Number.POSITIVE_INFINITY,
    }),
}
