/** Loads what batches need, ahead of need and within limits. */
import { availableParallelism } from 'node:os'
import { ArgumentError } from '../util/errors.ts'
import { TaskQueue } from '../util/taskQueue.ts'

export interface LoaderOptions {
  /** Items loaded at a time, those of several batches together. Default 8, at most the number of processors. */
  readonly workers?: number | undefined
  /** Batches loaded ahead of the one in use; no more are begun until it is given back. Default 2. */
  readonly prefetch?: number | undefined
  /** Aborting it ends the loop with the signal's reason at once; loads begun end in the background, unheeded. */
  readonly signal?: AbortSignal | undefined
}

/** A batch, and what was loaded for each of its items, in their order. */
export interface Loaded<B, L> {
  readonly batch: B
  readonly loaded: readonly L[]
}

/**
 * The batches in their order, each with what `load` gives for its items; how long a load takes changes nothing but the time.
 * Loads begin in the order of use. Leaving the loop begins no more.
 *
 * @throws what `load` throws, when its batch comes; the signal's reason when aborted
 */
export async function* loadBatches<Item, B extends { readonly items: readonly Item[] }, L>(
  batches: Iterable<B>,
  load: (item: Item, batch: B) => Promise<L>,
  options: LoaderOptions = {},
): AsyncGenerator<Loaded<B, L>, void, void> {
  const { workers = Math.min(8, availableParallelism()), prefetch = 2, signal } = options
  expectCount('workers', workers, 1)
  expectCount('prefetch', prefetch, 0)
  const queue = new TaskQueue(workers)
  const abort = (): void => queue.stop(signal?.reason)
  const source = batches[Symbol.iterator]()
  const waiting: Promise<Loaded<B, L>>[] = []
  signal?.addEventListener('abort', abort, { once: true })
  try {
    for (;;) {
      signal?.throwIfAborted()
      while (waiting.length <= prefetch) {
        const next = source.next()
        if (next.done === true) break
        const batch = next.value
        const loading = Promise.all(batch.items.map((item) => queue.run(() => load(item, batch))))
        const work = loading.then((loaded) => ({ batch, loaded }))
        // A failure is raised when its turn comes; should the loop be left before, it must not count as unhandled.
        work.catch(() => undefined)
        waiting.push(work)
      }
      const first = waiting.shift()
      if (first === undefined) return
      const ready = await first
      signal?.throwIfAborted()
      yield ready
    }
  } finally {
    signal?.removeEventListener('abort', abort)
    queue.stop(undefined)
  }
}

function expectCount(name: string, value: number, least: number): void {
  if (Number.isInteger(value) && value >= least) return
  throw new ArgumentError('loadBatches', name, `a whole number of at least ${least}`, String(value))
}
