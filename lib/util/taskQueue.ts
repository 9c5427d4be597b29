interface Task {
  start(): void
  drop(reason: unknown): void
}

/** Runs tasks in the order in which they were given, at most `limit` at a time, until it is stopped. */
export class TaskQueue {
  readonly #limit: number
  readonly #waiting: Task[] = []
  readonly #begun = new Set<Task>()
  #stopped: { readonly reason: unknown } | undefined

  /** @param limit a whole number of at least 1 */
  constructor(limit: number) {
    this.#limit = limit
  }

  /** @returns what the task returns; rejects with the reason of `stop` when that comes first */
  run<T>(task: () => Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const entry: Task = {
        start: () => {
          this.#begun.add(entry)
          task()
            .then(resolve, reject)
            .finally(() => {
              this.#begun.delete(entry)
              this.#next()
            })
        },
        drop: reject,
      }
      if (this.#stopped !== undefined) reject(this.#stopped.reason)
      else this.#waiting.push(entry)
      this.#next()
    })
  }

  /** Starts no further task. What waits and what has begun rejects at once; results of the latter are dropped. */
  stop(reason: unknown): void {
    this.#stopped ??= { reason }
    for (const task of [...this.#begun, ...this.#waiting.splice(0)]) task.drop(reason)
  }

  #next(): void {
    if (this.#stopped !== undefined || this.#begun.size >= this.#limit) return
    this.#waiting.shift()?.start()
  }
}
