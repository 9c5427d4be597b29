/** The options about optimizer and schedule, as people write them, to their part of a training's configuration. */
import { loadLocalExport, namesLocalExport } from '../../config/localExport.ts'
import { readArguments } from '../../config/namedArguments.ts'
import type { GivenTrainOptions } from '../../config/trainOptions.ts'
import type { OptimizerClass } from '../../optim/customOptimizer.ts'
import type { LearningRateSchedule } from '../../optim/learningRate.ts'
import { findOptimizer } from '../../optim/registry.ts'
import type { UserSchedule } from '../../optim/schedules/schedule.ts'
import { ConfigError } from '../../util/errors.ts'
import type { OptimizerConfig } from '../optimizerPlan.ts'

/**
 * Reads what `train-network` is told about its optimizer. A class or a function of the user is loaded from its file.
 * @returns the configuration, and everything that is wrong with single options; what they mean together is for `planOptimizer`
 */
export async function readOptimizerOptions(
  given: GivenTrainOptions,
): Promise<{ readonly config: OptimizerConfig; readonly problems: readonly string[] }> {
  const problems: string[] = aliasProblems(given)
  const attempt = async <T>(fallback: T, read: () => Promise<T>): Promise<T> => {
    try {
      return await read()
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error
      problems.push(error.message)
      return fallback
    }
  }
  if (given.lr_scheduler_args !== undefined && given.scheduler_args !== undefined)
    problems.push('--scheduler_args is another name of --lr_scheduler_args: give one of them')
  const optimizerArguments = readArguments('--optimizer_args', given.optimizer_args ?? [])
  const schedulerArguments = readArguments('--lr_scheduler_args', given.lr_scheduler_args ?? given.scheduler_args ?? [])
  problems.push(...optimizerArguments.problems, ...schedulerArguments.problems)
  return {
    config: {
      type: await attempt<OptimizerConfig['type']>('AdamW', () => optimizerType(given)),
      ...(given.optimizer_args && { arguments: optimizerArguments.values, argumentTexts: optimizerArguments.texts }),
      learningRate: given.learning_rate ?? 2e-6,
      unetLearningRate: given.unet_lr ?? null,
      textEncoderLearningRate: given.text_encoder_lr ?? null,
      maxGradNorm: given.max_grad_norm ?? 1,
      scheduler: await attempt<OptimizerConfig['scheduler']>('constant', () => schedule(given)),
      ...(Object.keys(schedulerArguments.values).length > 0 && { schedulerArguments: schedulerArguments.values }),
      warmupSteps: given.lr_warmup_steps ?? 0,
      ...(given.lr_decay_steps !== undefined && { decaySteps: given.lr_decay_steps }),
      schedulerCycles: given.lr_scheduler_num_cycles ?? 1,
      schedulerPower: given.lr_scheduler_power ?? 1,
      ...(given.lr_scheduler_timescale !== undefined && { schedulerTimescale: given.lr_scheduler_timescale }),
      ...(given.lr_scheduler_min_lr_ratio !== undefined && { schedulerMinRatio: given.lr_scheduler_min_lr_ratio }),
    },
    problems,
  }
}

/** `--use_8bit_adam` and `--use_lion_optimizer` stand for a type, and for nothing beside another. */
function aliasProblems(given: GivenTrainOptions): string[] {
  const { use_8bit_adam: adam, use_lion_optimizer: lion, optimizer_type: type } = given
  if (adam && lion) return ['--use_8bit_adam contradicts --use_lion_optimizer: give one of them']
  const alias = adam ? '--use_8bit_adam' : lion ? '--use_lion_optimizer' : null
  if (alias === null || type === undefined || type === '') return []
  const meant = adam ? 'adamw8bit' : 'lion'
  return type.toLowerCase() === meant ? [] : [`${alias} contradicts --optimizer_type ${type}: give one of them`]
}

async function optimizerType(given: GivenTrainOptions): Promise<string | OptimizerClass> {
  if (given.use_8bit_adam) return 'AdamW8bit'
  if (given.use_lion_optimizer) return 'Lion'
  const type = given.optimizer_type || 'AdamW'
  if (namesLocalExport(type)) return (await loadLocalExport('--optimizer_type', type)) as unknown as OptimizerClass
  return findOptimizer(type).name
}

async function schedule(given: GivenTrainOptions): Promise<OptimizerConfig['scheduler']> {
  const type = given.lr_scheduler_type
  if (type === undefined || type === '') return given.lr_scheduler ?? 'constant'
  if (namesLocalExport(type)) return (await loadLocalExport('--lr_scheduler_type', type)) as unknown as UserSchedule
  const warmup = given.lr_warmup_steps ?? 0
  if (typeof warmup !== 'number' || warmup > 0)
    throw new ConfigError('--lr_warmup_steps has no meaning for --lr_scheduler_type: leave it out')
  return type.replace(/^torch\.optim\.lr_scheduler\./, '') as LearningRateSchedule
}
