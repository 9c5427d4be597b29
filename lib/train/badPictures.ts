/** Pictures that turn out to be damaged while a training runs: looking at headers, at its start, does not find them all. */
import type { DatasetImage } from '../data/dataset.ts'
import { DataError } from '../util/errors.ts'

/** What is known of them, shared by all that read pictures of a training. */
export class BadPictures {
  readonly #skips: boolean
  readonly #errors = new Map<string, DataError>()
  readonly #told = new Set<string>()
  readonly #messages: string[] = []

  /** @param policy whether a damaged picture ends the run, or others take its places */
  constructor(policy: 'error' | 'skip' = 'error') {
    this.#skips = policy === 'skip'
  }

  has({ path }: DatasetImage): boolean {
    return this.#errors.has(path)
  }

  /**
   * Remembers a picture that could not be read.
   * @throws the error, where it ends the run or is about something else
   */
  add({ path }: DatasetImage, error: unknown): void {
    if (!this.#skips || !(error instanceof DataError) || error.path !== path) throw error
    this.#errors.set(path, error)
  }

  /** Called for every place that another picture takes, in the order of the batches; the user is told of a picture once. */
  leaveOut({ path }: DatasetImage): void {
    const error = this.#errors.get(path)
    if (error === undefined || this.#told.has(path)) return
    this.#told.add(path)
    const count = this.#told.size === 1 ? 'the first' : `${this.#told.size} so far`
    this.#messages.push(`${error.message}. It is left out, ${count}; other pictures of its size take its places`)
  }

  /** What there is to tell since the last call. */
  takeMessages(): readonly string[] {
    return this.#messages.splice(0)
  }
}
