import { atCallSite, callSite } from '../tensor/callSite.ts'
import { Scope } from '../tensor/scope.ts'

export interface TurnOptions {
  /** Resolves when others have had their turn. */
  readonly turn: () => Promise<void>
  /** Milliseconds of work between turns. Default 5. */
  readonly budgetMs?: number
}

/**
 * Runs work that pauses (`yield`) at places where it may be interrupted, in one scope, and gives others a turn whenever it has taken
 * its time. The result is what the work returns; everything else it made is freed.
 */
export async function inTurns<T>(work: Generator<void, T>, { turn, budgetMs = 5 }: TurnOptions): Promise<T> {
  const site = callSite()
  const scope = new Scope()
  scope.leave()
  try {
    for (let started = performance.now(); ; ) {
      const { done, value } = scope.run(() => atCallSite(() => work.next(), site))
      if (done) {
        scope.close(value)
        return value
      }
      if (performance.now() - started > budgetMs) {
        await turn()
        started = performance.now()
      }
    }
  } catch (error) {
    scope.close()
    throw error
  }
}

/** The same at once. */
export function atOnce<T>(work: Generator<void, T>): T {
  for (;;) {
    const { done, value } = work.next()
    if (done) return value
  }
}
