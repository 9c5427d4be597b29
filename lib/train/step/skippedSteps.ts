import { DivergenceError } from '../../util/errors.ts'
import { listed } from '../../util/listed.ts'
import { latentsPlace, type StepFault } from './stepFault.ts'

export interface SkipOptions {
  /** `stop`: the first such step ends the training. Default skip. */
  readonly policy?: 'skip' | 'stop' | undefined
  /** Steps in a row that end the training: a run whose every gradient is broken learns nothing. Default 10. */
  readonly mostInARow?: number | undefined
  /** Whether the VAE is computed in 16 bits, which its values may go beyond. Default false. */
  readonly halfVae?: boolean | undefined
}

/** What happens to steps whose loss or gradient is not finite: each is skipped, counted and reported with names of parameters, layers and pictures. */
export class SkippedSteps {
  readonly #policy: 'skip' | 'stop'
  readonly #mostInARow: number
  readonly #halfVae: boolean
  #count = 0
  #inARow = 0

  constructor({ policy = 'skip', mostInARow = 10, halfVae = false }: SkipOptions = {}) {
    this.#policy = policy
    this.#mostInARow = mostInARow
    this.#halfVae = halfVae
  }

  /** Of the training so far. */
  get count(): number {
    return this.#count
  }

  /**
   * Takes note of one step.
   * @param fault null for a step that was taken
   * @returns sentences about a skipped step
   * @throws DivergenceError when there were too many in a row, or none may be skipped
   */
  add(step: number, fault: StepFault | null): string | null {
    if (fault === null) {
      this.#inARow = 0
      return null
    }
    this.#count++
    this.#inARow++
    const mostInARow = this.#mostInARow
    const outcome = fault.othersStepped ? 'only other parameters were stepped' : 'the step was skipped'
    const what = `step ${step}: ${whatBroke(fault)}; ${outcome}`
    const byVae = this.#halfVae && fault.place === latentsPlace
    const vaeAdvice = 'The VAE made them: compute it in float32 with no_half_vae.'
    const facts = byVae ? `${whereItBroke(fault)} ${vaeAdvice}` : whereItBroke(fault)
    const advice = byVae ? '' : ' Lower the learning rate, or train in float32.'
    const { parameters, pictures } = fault
    const fail = (why: string): never => {
      throw new DivergenceError(`${what}, ${why}. ${facts}${advice}`, parameters, pictures)
    }
    if (this.#policy === 'stop') fail('and on_non_finite is stop')
    if (this.#inARow >= mostInARow) fail(`as were the ${mostInARow - 1} before`)
    return `${what} (${this.#count} so far; ${mostInARow} in a row end the training). ${facts}`
  }

  /** What `restore` takes. */
  get state(): { readonly count: number; readonly inARow: number } {
    return { count: this.#count, inARow: this.#inARow }
  }

  /** Goes on from an earlier run. */
  restore({ count, inARow }: SkippedSteps['state']): void {
    this.#count = count
    this.#inARow = inARow
  }
}

function whatBroke({ loss, parameters }: StepFault): string {
  const others = parameters.length > 1 ? ` and of ${parameters.length - 1} more` : ''
  return [
    ...(Number.isFinite(loss) ? [] : [`the loss is ${loss}`]),
    ...(parameters.length === 0 ? [] : [`the gradient of ${parameters[0]}${others} is not finite`]),
  ].join(' and ')
}

function whereItBroke({ place, pictures }: StepFault): string {
  const seen = `The first value that is not finite is in ${place}.`
  return pictures.length === 0 ? seen : `${seen} Pictures: ${listed(pictures)}.`
}
