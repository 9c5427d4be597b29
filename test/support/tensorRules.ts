/** The rules of `tensorStep` as its tests take them, and the states they keep. */
import type { FactoredAxes, TensorRule } from '../../lib/ops/tensorStep.ts'
import { adaFactorDefaults, adaFactorDefinition } from '../../lib/optim/adaFactor.ts'
import { cameDefaults, cameDefinition } from '../../lib/optim/came.ts'
import { factoredShapes } from '../../lib/optim/fileAxes.ts'
import { stableAdamWDefaults, stableAdamWDefinition } from '../../lib/optim/stableAdamW.ts'
import type { Shape } from '../../lib/tensor/shape.ts'

export interface RuleCase {
  readonly name: string
  readonly rule: TensorRule
  /** Of step t, from 1. */
  readonly numbers: (t: number) => readonly number[]
  /** Whether it keeps a first moment. */
  readonly moment?: boolean
}

export const manual = { learningRate: 0.01, relativeStep: false, scaleParameter: false, weightDecay: 0.1 }
export const adaFactor = (change: object) => (t: number) =>
  adaFactorDefinition.numbers({ ...adaFactorDefaults, ...change }, t)
export const came = (t: number) => cameDefinition.numbers({ ...cameDefaults, learningRate: 0.01, weightDecay: 0.01 }, t)
export const stable = (t: number) => stableAdamWDefinition.numbers({ ...stableAdamWDefaults, learningRate: 0.01 }, t)

export const rules: readonly RuleCase[] = [
  { name: 'AdaFactor', rule: 'adaFactor', numbers: adaFactor({}) },
  { name: 'AdaFactor with a moment', rule: 'adaFactor', numbers: adaFactor({ ...manual, beta1: 0.9 }), moment: true },
  { name: 'CAME', rule: 'came', numbers: came, moment: true },
  { name: 'StableAdamW', rule: 'stableAdamW', numbers: stable },
]

/** Of every state of a parameter, null for one that it does without. @param axes null: not factored */
export function stateShapes(
  { rule, moment }: RuleCase,
  shape: Shape,
  axes: FactoredAxes | null,
): readonly (Shape | null)[] {
  if (rule === 'stableAdamW') return [shape, shape]
  const means = axes ? factoredShapes(axes) : [shape, null]
  return [...means, moment ? shape : null, ...(rule === 'came' ? (axes ? means : [null, null]) : [])]
}
