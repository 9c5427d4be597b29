/** What to say of memory that ran out in a training. */
import type { DatasetGroup } from '../../data/datasetGroup.ts'
import type { ModelPart } from '../../models/stableDiffusion/stableDiffusion.ts'
import { memory } from '../../tensor/runtime.ts'
import { OutOfMemoryError } from '../../util/errors.ts'
import type { TrainConfig } from '../trainConfig.ts'
import { deviceOf } from '../trainingDevice.ts'
import { planTraining } from './trainingPlan.ts'

/** Reasons that are named. */
const mostShares = 3

/**
 * The error with what the training was expected to take, what its tensors had taken, and which options take less.
 * @returns the error as it is where no plan can be made any more
 */
export async function explainOutOfMemory(
  error: OutOfMemoryError,
  group: DatasetGroup,
  config: TrainConfig,
  trainedParts: readonly ModelPart[],
): Promise<OutOfMemoryError> {
  const { peakBytes } = memory(deviceOf(config))
  const plan = await planTraining(group, config, trainedParts).catch(() => null)
  if (plan === null) return error
  const total = plan.memory.reduce((sum, { bytes }) => sum + bytes, 0)
  const shares = plan.memory.slice(0, mostShares).map(({ what, bytes }) => `${what} ${inGiB(bytes)}`)
  const lines = [
    error.message,
    `This training is expected to take about ${inGiB(total)} (${shares.join(', ')}); its tensors had taken ${inGiB(peakBytes)} at most.`,
    `Less is taken with ${smaller(group, config, trainedParts).join(', ')}. \`noisewright plan\` estimates it before a training.`,
  ]
  return new OutOfMemoryError(lines.join('\n'), { cause: error, op: error.op, driverCode: error.driverCode })
}

/** Options that this training has not, by how much they give. */
function smaller(group: DatasetGroup, config: TrainConfig, trainedParts: readonly ModelPart[]): string[] {
  const { training, data, optimizer } = config
  const largestBatch = Math.max(...group.datasets.map((dataset) => dataset.config.batchSize))
  const has8bitStates = typeof optimizer.type === 'string' && /8bit$/i.test(optimizer.type)
  const inMemory = data.cacheLatents && data.cacheLatentsToDisk !== true
  return [
    ...(training.gradientCheckpointing ? [] : ['--gradient_checkpointing']),
    ...(trainedParts.length === 0 || has8bitStates ? [] : ['--optimizer_type AdamW8bit']),
    ...(training.mixedPrecision === 'no' ? ['--mixed_precision bf16'] : []),
    ...(largestBatch > 1 ? [`a batch_size below ${largestBatch}`] : []),
    ...(data.cacheLatents || data.cacheLatentsToDisk ? [] : ['--cache_latents']),
    ...(inMemory ? ['--cache_latents_to_disk in place of --cache_latents'] : []),
    'a smaller resolution',
  ]
}

function inGiB(bytes: number): string {
  return `${(bytes / 2 ** 30).toFixed(2)} GiB`
}
