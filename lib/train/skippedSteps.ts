import { DivergenceError } from '../util/errors.ts'

export interface SkipOptions {
  /** `stop`: the first such step ends the training. Default skip. */
  readonly policy?: 'skip' | 'stop' | undefined
  /** Steps in a row that may be skipped: a run whose every gradient is broken learns nothing. Default 10. */
  readonly mostInARow?: number | undefined
}

/** What happens to steps whose gradient is not finite: each is skipped, counted and reported with the parameter's name. */
export class SkippedSteps {
  readonly #policy: 'skip' | 'stop'
  readonly #mostInARow: number
  #count = 0
  #inARow = 0

  constructor({ policy = 'skip', mostInARow = 10 }: SkipOptions = {}) {
    this.#policy = policy
    this.#mostInARow = mostInARow
  }

  /** Of the training so far. */
  get count(): number {
    return this.#count
  }

  /**
   * Takes note of one step.
   * @param names the parameters whose gradient was not finite; none for a step that was taken
   * @returns a sentence about a skipped step
   * @throws DivergenceError when there were too many in a row, or none may be skipped
   */
  add(step: number, names: readonly string[]): string | null {
    if (names.length === 0) {
      this.#inARow = 0
      return null
    }
    this.#count++
    this.#inARow++
    const others = names.length > 1 ? ` and of ${names.length - 1} more` : ''
    const mostInARow = this.#mostInARow
    const what = `step ${step}: the gradient of ${names[0]}${others} is not finite; the step was skipped`
    const advice = 'Lower the learning rate, or train in float32.'
    if (this.#policy === 'stop') throw new DivergenceError(`${what}, and on_non_finite is stop. ${advice}`, names)
    if (this.#inARow >= mostInARow)
      throw new DivergenceError(`${what}, as were the ${mostInARow - 1} before. ${advice}`, names)
    return `${what} (${this.#count} so far; ${mostInARow} in a row end the training)`
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
