/** The learning rates of a whole run, step by step, without training it. */
import { readTrainConfigFile } from '../../config/trainConfigFile.ts'
import { type GivenTrainOptions, readTrainArguments, type TrainerName } from '../../config/trainOptions.ts'
import { ConfigError } from '../../util/errors.ts'
import { makeSchedule, planOptimizer, recordedSchedule } from '../optimizerPlan.ts'
import { readNetworkArguments } from '../options/networkArguments.ts'
import { readOptimizerOptions } from '../options/optimizerOptions.ts'

export interface ScheduleCurves {
  /** The schedule's name. */
  readonly schedule: string
  /** What there is to say about optimizer and schedule. */
  readonly messages: readonly string[]
  /** One for each parameter group; those with the same rates are one, with all their names. */
  readonly curves: readonly { readonly name: string; readonly values: readonly number[] }[]
}

/**
 * Computes the rates that `train-network` with these arguments would step with. Options about other things than optimizer and
 * schedule are read and not needed.
 *
 * @throws ConfigError that names every problem
 */
export async function scheduleCurves(
  args: readonly string[],
  trainer: TrainerName = 'train-network',
): Promise<ScheduleCurves> {
  const line = readTrainArguments(args, trainer)
  const problems = [...line.problems]
  let given: GivenTrainOptions = line.given
  if (given.config_file !== undefined) {
    const file = await readTrainConfigFile(given.config_file, trainer)
    problems.push(...file.problems)
    given = { ...file.given, ...given }
  }
  const { config, problems: wrong } = await readOptimizerOptions(given)
  const network = readNetworkArguments(given.network_args ?? [], {
    module: given.network_module ?? 'networks.lora',
    dim: given.network_dim ?? null,
    dropout: given.network_dropout ?? null,
  })
  problems.push(...wrong, ...network.problems)
  const trained = [
    ...(given.network_train_unet_only ? [] : ['textencoder' as const]),
    ...(given.network_train_text_encoder_only ? [] : ['unet' as const]),
  ]
  const plan = planOptimizer(config, trained)
  if (wrong.length === 0) problems.push(...plan.problems)
  if (given.max_train_epochs !== undefined && line.given.max_train_steps === undefined)
    problems.push('the length of an epoch is not known without the data: give --max_train_steps')
  if (problems.length > 0) throw new ConfigError(problems.join('\n'))

  const { learningRate, unetLearningRate, textEncoderLearningRate } = plan.plan
  const base = learningRate ?? 0
  const unet = unetLearningRate ?? base
  const { blockWeights = null, loraPlus = null } = network.facts
  const groups = trained.flatMap((part) => {
    const own =
      part === 'textencoder'
        ? [{ name: part as string, rate: textEncoderLearningRate ?? base }]
        : blockWeights === null
          ? [{ name: part as string, rate: unet }]
          : blockWeights.flatMap((weight, i) =>
              weight > 0 && i > 0 ? [{ name: `block ${i}`, rate: unet * weight }] : [],
            )
    const ratio = (part === 'unet' ? loraPlus?.unet : loraPlus?.textEncoder) ?? 1
    return own.flatMap(({ name, rate }) => [
      { name, rate },
      ...(ratio === 1 ? [] : [{ name: `${name} plus`, rate: rate * ratio }]),
    ])
  })
  const totalSteps = given.max_train_steps ?? 1600
  const rateOf = makeSchedule(plan, totalSteps)
  const merged = new Map<string, { names: string[]; values: number[] }>()
  groups.forEach(({ name, rate }, group) => {
    const values = Array.from({ length: totalSteps }, (_, step) => rateOf(step, rate, group))
    const key = values.join()
    const same = merged.get(key)
    if (same) same.names.push(name)
    else merged.set(key, { names: [name], values })
  })
  const curves = Array.from(merged.values(), ({ names, values }) => ({ name: names.join(', '), values }))
  return { schedule: recordedSchedule(plan), messages: plan.messages, curves }
}
