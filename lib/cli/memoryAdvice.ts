import { loadClipTokenizer } from '../models/clip/tokenizer.ts'
import type { TrainingKind } from '../train/method.ts'
import type { TrainConfig } from '../train/trainConfig.ts'
import { loadTrainingData, tokenizerVariant } from '../train/trainingData.ts'
import { planTraining } from '../train/trainingPlan.ts'
import { NoisewrightError } from '../util/errors.ts'
import { describeMemory } from './plan.ts'

/**
 * What to say when a training has run out of memory: what `plan` expects it to take, to compare with what the error says is in use,
 * and the options that take less and are not in use. Nothing of the first where the data cannot be read any more.
 */
export async function memoryAdvice(kind: TrainingKind, config: TrainConfig): Promise<string[]> {
  const { data, training } = config
  const options = [
    ...(training.gradientCheckpointing ? [] : ['--gradient_checkpointing']),
    ...(training.mixedPrecision === 'no' ? ['--mixed_precision bf16'] : []),
    ...(data.cacheLatents || data.cacheLatentsToDisk ? [] : ['--cache_latents']),
  ]
  const less = [...options, 'a smaller batch_size', 'a smaller resolution'].join(', ')
  return [...(await expectedMemory(kind, config)), `less memory is taken with ${less}`]
}

async function expectedMemory(kind: TrainingKind, config: TrainConfig): Promise<string[]> {
  try {
    const group = await loadTrainingData(config, { seed: config.training.seed ?? 0, accepts: kind.accepts })
    const tokenizer = await loadClipTokenizer({ variant: await tokenizerVariant(config) })
    const { memory } = await planTraining(group, config, tokenizer, kind.trainedParts(config))
    return ['the plan of this training:', ...describeMemory(memory)]
  } catch (error) {
    if (error instanceof NoisewrightError) return []
    throw error
  }
}
