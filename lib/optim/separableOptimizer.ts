import { ArgumentError } from '../util/errors.ts'
import type { OptimizerParameter, StepInParts, StepOptions } from './optimizer.ts'
import { OptimizerBase, type OptimizerSettings, type ParameterSlot } from './optimizerBase.ts'

/** The base of optimizers whose step of a parameter depends on nothing but that parameter, its gradient and its states. */
export abstract class SeparableOptimizer<Settings extends OptimizerSettings> extends OptimizerBase<Settings> {
  #slots: ReadonlyMap<OptimizerParameter, ParameterSlot> | null = null

  beginStep({ learningRates = this.learningRates }: Pick<StepOptions, 'learningRates'> = {}): StepInParts {
    const take = this.begin(learningRates)
    return { take: (parameter, { clip = null } = {}) => take([this.#slotOf(parameter)], clip) }
  }

  #slotOf(parameter: OptimizerParameter): ParameterSlot {
    this.#slots ??= new Map(this.slots.map((slot) => [slot.parameter, slot]))
    const slot = this.#slots.get(parameter)
    if (slot === undefined)
      throw new ArgumentError(
        this.name,
        'parameter',
        'one of parameters()',
        `"${parameter.name}", which is none of them`,
      )
    return slot
  }
}
