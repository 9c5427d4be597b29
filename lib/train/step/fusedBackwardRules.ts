/** Which trainings can step parameters within the backward pass. */
import { stepsInParts } from '../../optim/stepsInParts.ts'
import type { TrainingKind } from '../method.ts'
import type { OptimizerPlan } from '../optimizerPlan.ts'
import type { TrainConfig } from '../trainConfig.ts'

const option = '--fused_backward_pass'

/**
 * What keeps a training from what it is asked for with `fusedBackwardPass`, in the words of the command line; nothing where it is not
 * asked for.
 */
export function fusedBackwardProblems<Config extends TrainConfig>(
  kind: Pick<TrainingKind<Config>, 'name' | 'trainedParts'>,
  config: Config,
  plan: OptimizerPlan,
): string[] {
  const { training, optimizer } = config
  if (training.fusedBackwardPass !== true) return []
  if (kind.trainedParts(config).length === 0)
    return [
      `${option} is for the model's own weights (fine-tune, train-db): what ${kind.name} trains has few gradients. Leave it out`,
    ]
  const problems: string[] = []
  if (optimizer.maxGradNorm > 0)
    problems.push(
      `${option} needs --max_grad_norm 0, found ${optimizer.maxGradNorm}: the norm of all gradients is not known before the first ` +
        'parameter is stepped',
    )
  if (training.gradientAccumulationSteps > 1)
    problems.push(
      `${option} needs --gradient_accumulation_steps 1, found ${training.gradientAccumulationSteps}: gradients are freed after each ` +
        'batch. A larger --train_batch_size takes the place',
    )
  if (training.mixedPrecision === 'fp16')
    problems.push(
      `${option} needs --mixed_precision no or bf16, found fp16: a step whose scaled gradients overflow must be left out as a whole`,
    )
  const { type } = optimizer
  const separable = typeof type === 'string' ? (plan.row?.inParts ?? true) : stepsInParts(type)
  if (!separable)
    problems.push(
      typeof type === 'string'
        ? `${option} contradicts --optimizer_type ${plan.row?.name}, whose step of a parameter depends on the gradients of all: take ` +
            'one that steps parameters independently, such as AdamW8bit or AdaFactor'
        : `${option} needs an optimizer that can step one parameter at a time: ${type.name} has no beginStep, or replaces step ` +
            'without it',
    )
  return problems
}
