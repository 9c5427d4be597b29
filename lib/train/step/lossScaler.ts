/** Dynamic scaling of the loss, for activations and their gradients in float16, which has nothing below 6e-8 or above 65504. */
import { ArgumentError, DivergenceError } from '../../util/errors.ts'
import { listed } from '../../util/listed.ts'
import type { StepFault } from './stepFault.ts'

export interface LossScalerOptions {
  /** The first scale. Default 65536. */
  readonly initialScale?: number
  /** What the scale is multiplied by after `growthInterval` good steps in a row. Default 2. */
  readonly growthFactor?: number
  /** What the scale is multiplied by when a gradient overflowed. Default 0.5. */
  readonly backoffFactor?: number
  /** Good steps in a row, in optimizer steps. Default 2000. */
  readonly growthInterval?: number
}

/** What a resumed run needs; plain data for JSON. */
export interface LossScalerState {
  /** What the loss of the next step is multiplied by. */
  readonly scale: number
  /** In a row, since the scale last changed. */
  readonly goodSteps: number
  /** Steps of the training that were skipped. */
  readonly overflows: number
}

/**
 * How large the loss should be made before the backward pass: as large as gradients allow. Powers of two change no digit of a number,
 * so that dividing by the scale, which the optimizer step does on the way, gives the gradients of the loss itself.
 *
 * The rule is that of `torch.amp.GradScaler`: a step in which a gradient overflowed is skipped and halves the scale; after 2000 good
 * ones in a row it is doubled. Few of the first steps of a training may be skipped until the scale fits.
 */
export class LossScaler {
  readonly #growthFactor: number
  readonly #backoffFactor: number
  readonly #growthInterval: number
  #scale: number
  #goodSteps = 0
  #overflows = 0

  /** @throws ArgumentError for factors that do not grow or do not shrink */
  constructor({
    initialScale = 65536,
    growthFactor = 2,
    backoffFactor = 0.5,
    growthInterval = 2000,
  }: LossScalerOptions = {}) {
    expectScale('initialScale', initialScale)
    if (!(growthFactor > 1 && Number.isFinite(growthFactor)))
      throw new ArgumentError('LossScaler', 'growthFactor', 'above 1', String(growthFactor))
    if (!(backoffFactor > 0 && backoffFactor < 1))
      throw new ArgumentError('LossScaler', 'backoffFactor', 'between 0 and 1', String(backoffFactor))
    if (!(Number.isInteger(growthInterval) && growthInterval > 0))
      throw new ArgumentError('LossScaler', 'growthInterval', 'a whole number above 0', String(growthInterval))
    this.#growthFactor = growthFactor
    this.#backoffFactor = backoffFactor
    this.#growthInterval = growthInterval
    this.#scale = Math.fround(initialScale)
  }

  /** What the loss of the coming step is to be multiplied by; the same for all its micro-batches. */
  get scale(): number {
    return this.#scale
  }

  /**
   * Whether a gradient overflowed where the loss was made no larger than it is: the model itself goes beyond float16, and a smaller
   * scale would lose small gradients instead.
   */
  get isExhausted(): boolean {
    return this.#scale < 1
  }

  /** Steps of the training that were skipped; the schedule of learning rates stands still meanwhile. */
  get overflows(): number {
    return this.#overflows
  }

  /**
   * Takes note of a step whose loss is finite and whose gradients are there, and sets the scale of the next one. A loss that is not
   * finite has nothing to do with its scale.
   * @param finite whether all scaled gradients are finite: only then may the step be taken
   */
  update(finite: boolean): void {
    if (!finite) {
      this.#overflows++
      this.#goodSteps = 0
      this.#scale = Math.fround(this.#scale * this.#backoffFactor)
      return
    }
    this.#goodSteps++
    if (this.#goodSteps < this.#growthInterval) return
    this.#goodSteps = 0
    const grown = Math.fround(this.#scale * this.#growthFactor)
    if (Number.isFinite(grown)) this.#scale = grown
  }

  state(): LossScalerState {
    return { scale: this.#scale, goodSteps: this.#goodSteps, overflows: this.#overflows }
  }

  /** Goes on where an earlier run left off. @throws ArgumentError for a state that none can be in */
  loadState({ scale, goodSteps, overflows }: LossScalerState): void {
    expectScale('scale', scale)
    for (const [name, count] of Object.entries({ goodSteps, overflows }))
      if (!(Number.isInteger(count) && count >= 0))
        throw new ArgumentError('LossScaler', name, 'a whole number of 0 or more', String(count))
    this.#scale = Math.fround(scale)
    this.#goodSteps = goodSteps
    this.#overflows = overflows
  }
}

function expectScale(name: string, scale: number): void {
  if (!(scale > 0 && Number.isFinite(Math.fround(scale))))
    throw new ArgumentError('LossScaler', name, 'a positive float32 number', String(scale))
}

/**
 * What to say of a step that overflowed.
 * @param fault null, unless the scale cannot become smaller
 * @throws DivergenceError when the scale cannot become smaller
 */
export function describeOverflow(step: number, { scale, overflows }: LossScalerState, fault: StepFault | null): string {
  if (fault === null) {
    const skipped = `step ${step}: a gradient overflowed float16; the step was skipped (${overflows} so far)`
    return `${skipped}, and the loss is multiplied by ${scale} from here on`
  }
  const { parameters, pictures } = fault
  const names = parameters.length === 0 ? '' : ` (${listed(parameters, 3)})`
  const seen = pictures.length === 0 ? '' : ` Pictures: ${listed(pictures)}.`
  throw new DivergenceError(
    `step ${step}: a gradient overflows float16 though the loss is not enlarged any more${names}.${seen} ` +
      'Train with mixed_precision bf16 or no, or with a lower learning rate.',
    parameters,
    pictures,
  )
}
