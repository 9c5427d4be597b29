/** Backward passes that step each parameter as soon as its gradient is complete, so that never all gradients are held. */
import { backwardInTurns } from '../../autograd/backward.ts'
import type { TurnOptions } from '../../autograd/inTurns.ts'
import { gradientNorm, jointNorm } from '../../ops/gradientNorm.ts'
import { gradientOf, type Optimizer, type OptimizerParameter, type StepInParts } from '../../optim/optimizer.ts'
import { zeroGradients } from '../../optim/parameterSlots.ts'
import { keep } from '../../tensor/scope.ts'
import type { Tensor } from '../../tensor/tensor.ts'
import { ArgumentError } from '../../util/errors.ts'

export interface FusedPass extends TurnOptions {
  /** Of the groups. */
  readonly learningRates: readonly number[]
  /** Whether parameters are stepped; otherwise their gradients are only measured. */
  readonly steps: boolean
}

/** What a pass has found, once the device has been waited for. */
export interface FusedNorms {
  /** Of all gradients, the square root of the sum of their squares. */
  readonly gradientNorm: number
  /** Parameters whose gradients were not finite, in the optimizer's order. They stay as they were; others have been stepped. */
  readonly broken: readonly string[]
}

interface Measured {
  readonly name: string
  /** What `gradientNorm` gave for the gradient. */
  readonly norm: Tensor
}

/**
 * A step and its backward pass in one. Weights and states become the bits that a pass and a step after it make of them, when gradients
 * are not clipped: a gradient is complete, and its parameter not read any more, before the step is taken.
 */
export class FusedBackward {
  readonly #optimizer: Optimizer
  readonly #parameters: readonly OptimizerParameter[]
  #measured: Measured[] = []

  /** @throws ArgumentError for an optimizer whose step cannot be taken in parts */
  constructor(optimizer: Optimizer) {
    if (optimizer.beginStep === undefined || optimizer.parameters === undefined)
      throw new ArgumentError('FusedBackward', 'optimizer', 'one with beginStep and parameters', optimizer.name)
    this.#optimizer = optimizer
    this.#parameters = optimizer.parameters()
  }

  /** Gradients there were before are a part of the step. None are left. */
  async run(loss: Tensor, { learningRates, steps, ...turns }: FusedPass): Promise<void> {
    const step = steps ? this.#optimizer.beginStep!({ learningRates }) : null
    const byLeaf = new Map<Tensor, OptimizerParameter>()
    for (const parameter of this.#parameters) {
      const [leaf, other] = [parameter.master, parameter.copy].filter((tensor) => tensor?.requiresGrad)
      // One that learns in two places is stepped at the end.
      if (leaf && !other) byLeaf.set(leaf, parameter)
    }
    const onComplete = (leaf: Tensor): void => this.#finish(byLeaf.get(leaf)!, step)
    await backwardInTurns(loss, { ...turns, watch: { leaves: byLeaf.keys(), onComplete } })
    for (const parameter of this.#parameters) this.#finish(parameter, step)
  }

  #finish(parameter: OptimizerParameter, step: StepInParts | null): void {
    const gradient = gradientOf(parameter)
    if (gradient === null) return
    const norm = keep(gradientNorm([gradient]))
    this.#measured.push({ name: parameter.name, norm })
    step?.take(parameter, { clip: norm })
    zeroGradients([parameter])
  }

  /** Of the pass before. Waits for it. */
  async norms(): Promise<FusedNorms> {
    const measured = this.#measured
    if (measured.length === 0) return { gradientNorm: 0, broken: [] }
    const total = jointNorm(measured.map(({ norm }) => norm))
    try {
      // SYNC: the end of a step.
      const whole = await first(total)
      if (Number.isFinite(whole)) return { gradientNorm: whole, broken: [] }
      const norms = await Promise.all(measured.map(({ norm }) => first(norm)))
      const broken = new Set(measured.filter((_, i) => !Number.isFinite(norms[i])).map(({ name }) => name))
      const inOrder = this.#parameters.map(({ name }) => name).filter((name) => broken.has(name))
      return { gradientNorm: whole, broken: inOrder }
    } finally {
      total.dispose()
    }
  }

  /** Frees what a pass has measured. */
  dispose(): void {
    for (const { norm } of this.#measured.splice(0)) norm.dispose()
  }
}

async function first(tensor: Tensor): Promise<number> {
  return Number((await tensor.read())[0])
}
