/** AdamW through `optimizerStep`, in the terms of its paper: what the kernels' tests step with. */
import { type OptimizerStepOptions, optimizerStep } from '../../lib/ops/optimizerStep.ts'
import { adamWDefaults, adamWDefinition } from '../../lib/optim/adamW.ts'
import { adamW8bitDefinition } from '../../lib/optim/adamW8bit.ts'
import type { Tensor } from '../../lib/tensor/tensor.ts'

export interface AdamWHyperparameters {
  readonly learningRate: number
  readonly beta1: number
  readonly beta2: number
  readonly eps: number
  readonly weightDecay: number
}

export interface AdamWSlot {
  readonly param: Tensor
  readonly gradient: Tensor
  readonly state1: Tensor
  readonly state2: Tensor
  readonly absmax1: Tensor | null
  readonly absmax2: Tensor | null
  readonly copy: Tensor | null
  /** Index into the hyperparameters. */
  readonly group: number
  /** Number of this step, from 1. */
  readonly step: number
}

export function adamWStep(
  slots: readonly AdamWSlot[],
  groups: readonly AdamWHyperparameters[],
  options: OptimizerStepOptions = {},
): void {
  const rows = slots.map(({ group, step, absmax1 }) => {
    const { beta1, beta2, ...rest } = groups[group]!
    return (absmax1 ? adamW8bitDefinition : adamWDefinition).numbers(
      { ...adamWDefaults, ...rest, betas: [beta1, beta2] },
      step,
      {},
    )
  })
  optimizerStep(
    'adamW',
    slots.map(({ state1, state2, absmax1, absmax2, ...slot }, row) => ({
      ...slot,
      states: [state1, state2, null],
      absmax: [absmax1, absmax2, null],
      row,
    })),
    rows,
    options,
  )
}
