/**
 * Maps `values` through an async function, results in the order of `values`, with up to `ahead` further calls under way while a
 * result is in use. Leaving the loop starts no more and waits for those begun; their results are dropped.
 */
export async function* mapAhead<T, R>(
  values: Iterable<T>,
  ahead: number,
  map: (value: T) => Promise<R>,
): AsyncGenerator<R, void, void> {
  const waiting: Promise<R>[] = []
  const source = values[Symbol.iterator]()
  try {
    for (;;) {
      while (waiting.length <= ahead) {
        const next = source.next()
        if (next.done === true) break
        const work = map(next.value)
        // A failure is raised when its turn comes; should the loop be left before, it must not count as unhandled.
        work.catch(() => undefined)
        waiting.push(work)
      }
      const first = waiting.shift()
      if (first === undefined) return
      yield await first
    }
  } finally {
    await Promise.allSettled(waiting)
  }
}
