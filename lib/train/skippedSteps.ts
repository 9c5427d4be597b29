import { ConfigError } from '../util/errors.ts'

/** Steps in a row that may be skipped: a run whose every gradient is broken learns nothing and should not go on for days. */
const mostInARow = 10

/**
 * What happens to steps whose gradient is not finite: each is skipped, counted and reported with the parameter's name; ten in a row end
 * the training.
 */
export class SkippedSteps {
  #count = 0
  #inARow = 0

  /** Of the training so far. */
  get count(): number {
    return this.#count
  }

  /**
   * Takes note of one step.
   * @param names the parameters whose gradient was not finite; none for a step that was taken
   * @returns a sentence about a skipped step
   * @throws ConfigError when there were too many in a row
   */
  add(step: number, names: readonly string[]): string | null {
    if (names.length === 0) {
      this.#inARow = 0
      return null
    }
    this.#count++
    this.#inARow++
    const others = names.length > 1 ? ` and of ${names.length - 1} more` : ''
    const what = `step ${step}: the gradient of ${names[0]}${others} is not finite; the step was skipped`
    if (this.#inARow >= mostInARow)
      throw new ConfigError(
        `${what}, as were the ${mostInARow - 1} before. Lower the learning rate, or train in float32.`,
      )
    return `${what} (${this.#count} so far; ${mostInARow} in a row end the training)`
  }
}
