/** Trainings that cannot step parameters within the backward pass are refused, by the command line and by the library alike. */
import { describe, expect, it } from 'vitest'
import { CustomOptimizer } from '../../../lib/optim/customOptimizer.ts'
import { fineTuning } from '../../../lib/train/methods/fineTune.ts'
import { networkTraining } from '../../../lib/train/methods/trainNetwork.ts'
import { parseTraining } from '../../../lib/train/options/parseTraining.ts'
import { comparedOptions } from '../../../lib/train/state/comparedOptions.ts'
import { Trainer } from '../../../lib/train/trainer.ts'
import { ConfigError } from '../../../lib/util/errors.ts'
import { needed } from '../../config/trainProblems.ts'
import { type TinyOverrides, tinyTraining } from '../../support/tinyTraining.ts'
import { tinyFineTune } from '../../support/tinyTrainings.ts'

const fused = ['--fused_backward_pass', '--max_grad_norm', '0']

function parse(
  trainer: 'fine-tune' | 'train-db' | 'train-network' | 'train-textual-inversion',
  args: readonly string[],
) {
  return parseTraining(trainer, [...needed, ...args])
}

/** The message that opening such a training fails with, before any file is looked for. */
async function refusal(overrides: TinyOverrides): Promise<string> {
  const { training, optimizer, ...others } = overrides
  const config = await tinyFineTune('no-model', 'no-data', {
    ...others,
    training: { fusedBackwardPass: true, ...training },
    optimizer: { maxGradNorm: 0, ...optimizer },
  })
  const error = await Trainer.open(fineTuning, config).catch((thrown: unknown) => thrown)
  expect(error).toBeInstanceOf(ConfigError)
  expect((error as ConfigError).details).toMatchObject({ option: 'fused_backward_pass' })
  return (error as ConfigError).message
}

class Coupled extends CustomOptimizer {
  override step(): void {}
  protected update(): void {}
}

describe('--fused_backward_pass', () => {
  it.each(['fine-tune', 'train-db'] as const)('is an option of %s, off by default', async (trainer) => {
    const { config, notes } = await parse(trainer, [...fused, '--optimizer_type', 'AdamW8bit'])
    expect(config.training.fusedBackwardPass).toBe(true)
    expect(notes).toEqual([])
    expect((await parse(trainer, [])).config.training.fusedBackwardPass).toBeUndefined()
  })

  it.each([
    [
      [],
      '--fused_backward_pass needs --max_grad_norm 0, found 1: the norm of all gradients is not known before the first parameter is stepped',
    ],
    [
      ['--max_grad_norm', '0', '--gradient_accumulation_steps', '4'],
      '--fused_backward_pass needs --gradient_accumulation_steps 1, found 4: gradients are freed after each batch. A larger --train_batch_size takes the place',
    ],
    [
      ['--max_grad_norm', '0', '--mixed_precision', 'fp16'],
      '--fused_backward_pass needs --mixed_precision no or bf16, found fp16: a step whose scaled gradients overflow must be left out as a whole',
    ],
    [
      ['--max_grad_norm', '0', '--optimizer_type', 'prodigy'],
      '--fused_backward_pass contradicts --optimizer_type Prodigy, whose step of a parameter depends on the gradients of all: take one that steps parameters independently, such as AdamW8bit or AdaFactor',
    ],
  ])('with %j is refused', async (args, message) => {
    await expect(parse('fine-tune', ['--fused_backward_pass', ...args])).rejects.toThrow(new ConfigError(message))
  })

  it.each(['train-network', 'train-textual-inversion'] as const)(
    'is refused by %s, with the reason',
    async (trainer) => {
      const more = trainer === 'train-network' ? [] : ['--token_string', 'frog', '--init_word', 'frog']
      await expect(parse(trainer, [...fused, ...more])).rejects.toThrow(
        `--fused_backward_pass is for the model's own weights (fine-tune, train-db): what ${trainer} trains has few gradients. Leave it out`,
      )
    },
  )

  it('is refused by the library in the same words', async () => {
    expect(await refusal({ optimizer: { maxGradNorm: 0.5 } })).toContain('needs --max_grad_norm 0, found 0.5')
    expect(await refusal({ training: { gradientAccumulationSteps: 2, mixedPrecision: 'fp16' } })).toMatch(
      /gradient_accumulation_steps 1, found 2[^\n]*\n[^\n]*found fp16/,
    )
    expect(await refusal({ optimizer: { type: 'DAdaptation' } })).toContain('--optimizer_type DAdaptAdamPreprint')
    expect(await refusal({ optimizer: { type: Coupled } })).toContain(
      'Coupled has no beginStep, or replaces step without it',
    )
    const config = await tinyTraining('no-model', 'no-data', { training: { fusedBackwardPass: true } })
    await expect(Trainer.open(networkTraining, config)).rejects.toThrow("is for the model's own weights")
  })

  it('does not decide which states a training goes on from', async () => {
    const one = await tinyFineTune('model', 'data', { training: { fusedBackwardPass: true } })
    expect(comparedOptions(one)).toEqual(comparedOptions(await tinyFineTune('model', 'data')))
  })
})
