import { copyInto } from '../ops/accumulate.ts'
import { type AdamWHyperparameters, type AdamWSlot, adamWStep } from '../ops/adamW.ts'
import { blockCount, dequantizeBlockwise, quantizeBlockwise } from '../ops/quantizeBlockwise.ts'
import { zeros } from '../tensor/create.ts'
import { keep, scope } from '../tensor/scope.ts'
import { formatShape, sameShape } from '../tensor/shape.ts'
import type { Tensor } from '../tensor/tensor.ts'
import { ArgumentError } from '../util/errors.ts'
import {
  expectLearningRates,
  expectUniqueNames,
  gradientOf,
  type Optimizer,
  type OptimizerParameter,
  type OptimizerState,
  type ParameterGroup,
  type StepOptions,
} from './optimizer.ts'

export interface AdamWSettings {
  /** Default 1e-3. */
  readonly learningRate: number
  /** Decay of the moments. Default [0.9, 0.999]. */
  readonly betas: readonly [number, number]
  /** Added to the root of the second moment. Default 1e-8. */
  readonly eps: number
  /** Share of a parameter, times the learning rate, that a step takes away. Default 0.01. */
  readonly weightDecay: number
}

export const adamWDefaults: AdamWSettings = { learningRate: 1e-3, betas: [0.9, 0.999], eps: 1e-8, weightDecay: 0.01 }

/** How the moments are kept, and the finer points of the step. */
export interface AdamWVariant {
  readonly name: string
  /** Whether a parameter's moments are 8-bit codes. */
  readonly codes: (parameter: OptimizerParameter) => boolean
  readonly decayAfter: boolean
  readonly skipInvalid: boolean
}

interface Slot extends Pick<AdamWSlot, 'state1' | 'state2' | 'absmax1' | 'absmax2' | 'group'> {
  readonly parameter: OptimizerParameter
  step: number
}

const float32Variant: AdamWVariant = { name: 'adamW', codes: () => false, decayAfter: false, skipInvalid: false }

/** AdamW (Loshchilov and Hutter, 2019) with float32 moments: 8 bytes for each parameter. */
export class AdamW implements Optimizer {
  readonly name: string
  readonly learningRates: readonly number[]
  readonly #groups: readonly AdamWHyperparameters[]
  readonly #slots: readonly Slot[]
  readonly #variant: AdamWVariant

  constructor(
    groups: readonly ParameterGroup<AdamWSettings>[],
    settings: Partial<AdamWSettings> = {},
    variant: AdamWVariant = float32Variant,
  ) {
    this.name = variant.name
    this.#variant = variant
    expectUniqueNames(this.name, groups)
    this.#groups = groups.map((group) => hyperparameters(this.name, { ...adamWDefaults, ...settings, ...group }))
    this.learningRates = this.#groups.map((group) => group.learningRate)
    expectLearningRates(this.name, this.learningRates, groups.length)
    for (const { params } of groups) for (const parameter of params) this.#check(parameter)
    this.#slots = groups.flatMap(({ params }, group) => params.map((parameter) => this.#makeSlot(parameter, group)))
  }

  gradients(): readonly Tensor[] {
    return this.#slots.flatMap(({ parameter }) => gradientOf(parameter) ?? [])
  }

  step({ learningRates = this.learningRates, clip = null }: StepOptions = {}): void {
    expectLearningRates(this.name, learningRates, this.#groups.length)
    const slots = this.#slots.flatMap((slot): AdamWSlot[] => {
      const gradient = gradientOf(slot.parameter)
      if (gradient === null) return []
      const { master, copy = null } = slot.parameter
      return [{ ...slot, param: master, copy, gradient, step: ++slot.step }]
    })
    if (slots.length === 0) return
    const groups = this.#groups.map((group, i) => ({ ...group, learningRate: learningRates[i]! }))
    adamWStep(slots, groups, {
      clip,
      decayAfter: this.#variant.decayAfter,
      skipInvalid: this.#variant.skipInvalid,
    })
  }

  zeroGrad(): void {
    for (const { parameter } of this.#slots)
      for (const tensor of [parameter.master, parameter.copy]) {
        if (!tensor) continue
        tensor.grad?.dispose()
        tensor.grad = null
      }
  }

  state(): OptimizerState {
    const steps: Record<string, number> = {}
    const tensors = new Map<string, Tensor>()
    for (const { parameter, step, state1, state2, absmax1, absmax2 } of this.#slots) {
      steps[parameter.name] = step
      for (const [key, tensor] of Object.entries({ state1, state2, absmax1, absmax2 }))
        if (tensor) tensors.set(`${parameter.name}.${key}`, tensor)
    }
    return { optimizer: this.name, steps, tensors }
  }

  loadState({ steps, tensors }: OptimizerState): void {
    for (const { parameter, state1, state2 } of this.#slots) {
      expectStored(this.name, tensors, `${parameter.name}.state1`, state1)
      expectStored(this.name, tensors, `${parameter.name}.state2`, state2)
    }
    for (const slot of this.#slots) {
      const { name } = slot.parameter
      slot.step = steps[name] ?? 0
      restore(slot.state1, slot.absmax1, tensors.get(`${name}.state1`)!, tensors.get(`${name}.absmax1`) ?? null, true)
      restore(slot.state2, slot.absmax2, tensors.get(`${name}.state2`)!, tensors.get(`${name}.absmax2`) ?? null, false)
    }
  }

  dispose(): void {
    for (const { state1, state2, absmax1, absmax2 } of this.#slots)
      for (const tensor of [state1, state2, absmax1, absmax2]) tensor?.dispose()
  }

  #check({ name, master, copy }: OptimizerParameter): void {
    if (master.dtype !== 'float32' || !master.contiguous)
      throw new ArgumentError(this.name, name, 'a contiguous float32 tensor', `${master}`)
    if (copy && (copy.dtype !== 'bfloat16' || !sameShape(copy.shape, master.shape)))
      throw new ArgumentError(this.name, `${name} (copy)`, `bfloat16 ${formatShape(master.shape)}`, `${copy}`)
  }

  #makeSlot(parameter: OptimizerParameter, group: number): Slot {
    const { shape, size } = parameter.master
    const codes = this.#variant.codes(parameter)
    const state = (): Tensor => keep(zeros(shape, { dtype: codes ? 'uint8' : 'float32' }))
    const scales = (): Tensor | null => (codes ? keep(zeros([blockCount(size)])) : null)
    return {
      parameter,
      group,
      step: 0,
      state1: state(),
      state2: state(),
      absmax1: scales(),
      absmax2: scales(),
    }
  }
}

function hyperparameters(op: string, settings: AdamWSettings): AdamWHyperparameters {
  const { learningRate, betas, eps, weightDecay } = settings
  for (const beta of betas)
    if (!(beta >= 0 && beta < 1)) throw new ArgumentError(op, 'betas', 'in [0, 1)', String(beta))
  if (!(eps >= 0)) throw new ArgumentError(op, 'eps', '0 or more', String(eps))
  if (!(weightDecay >= 0)) throw new ArgumentError(op, 'weightDecay', '0 or more', String(weightDecay))
  return { learningRate, beta1: betas[0], beta2: betas[1], eps, weightDecay }
}

function expectStored(op: string, tensors: ReadonlyMap<string, Tensor>, key: string, like: Tensor): void {
  const stored = tensors.get(key)
  if (!stored || !sameShape(stored.shape, like.shape) || (stored.dtype !== 'uint8' && stored.dtype !== 'float32'))
    throw new ArgumentError(
      op,
      'state',
      `with ${key} as uint8 or float32 ${formatShape(like.shape)}`,
      stored ? String(stored) : 'a state without it',
    )
  if (stored.dtype === 'uint8' && !tensors.has(key.replace(/state(?=[12]$)/, 'absmax')))
    throw new ArgumentError(op, 'state', `with the scales of ${key}`, 'a state without them')
}

/** Copies a stored moment into one of ours, which may be of the other kind. */
function restore(
  state: Tensor,
  absmax: Tensor | null,
  stored: Tensor,
  storedAbsmax: Tensor | null,
  signed: boolean,
): void {
  scope(() => {
    if (stored.dtype === state.dtype) {
      copyInto(state, stored)
      if (absmax && storedAbsmax) copyInto(absmax, storedAbsmax)
    } else if (absmax) {
      const quantized = quantizeBlockwise(stored, { signed })
      copyInto(state, quantized.codes)
      copyInto(absmax, quantized.absmax)
    } else {
      copyInto(state, dequantizeBlockwise({ codes: stored, absmax: storedAbsmax! }, { signed }))
    }
  })
}
