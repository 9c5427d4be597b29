/**
 * Scopes free intermediates: a tensor made inside a scope is disposed when the scope ends, unless it is returned or kept. Tensors
 * that autograd saved for a backward pass hold references of their own and live until that pass, or the outermost scope, ends.
 */

/** What a scope can own. */
export interface Disposable {
  dispose(): void
}

/** Something that must outlive inner scopes and go with the outermost: the tape's nodes. */
export interface Releasable {
  readonly released: boolean
  /** The nodes that made its inputs. */
  parents(): Iterable<Releasable>
  release(): void
}

/** An open scope. Do not await inside one: whatever else runs meanwhile would be caught by it. */
export class Scope {
  readonly #parent: Scope | null
  readonly #owned = new Set<Disposable>()
  readonly #nodes: Releasable[] = []
  #open = true

  constructor() {
    this.#parent = current
    current = this
  }

  /** Runs `body` in this scope, and leaves it again: for work in several turns of the event loop. */
  run<T>(body: () => T): T {
    const before = current
    current = this
    try {
      return body()
    } finally {
      current = before
    }
  }

  /** Leaves the scope without ending it; `run` comes back to it. */
  leave(): void {
    if (current === this) current = this.#parent
  }

  adopt(item: Disposable): void {
    this.#owned.add(item)
  }

  adoptNode(node: Releasable): void {
    this.#nodes.push(node)
  }

  forget(item: Disposable): void {
    this.#owned.delete(item)
    this.#parent?.forget(item)
  }

  /** Ends the scope. What `survivors` reach moves to the surrounding scope; the rest is disposed. */
  close(survivors: unknown = undefined): void {
    if (!this.#open) return
    this.#open = false
    if (current === this) current = this.#parent
    const parent = this.#parent
    const kept = reach(survivors)
    for (const item of this.#owned) {
      if (!kept.has(item)) item.dispose()
      else parent?.adopt(item)
    }
    if (parent) {
      for (const node of this.#nodes) parent.adoptNode(node)
      return
    }
    const waiting = this.#nodes.filter((node) => !node.released)
    if (waiting.length === 0) return
    // A result's own history stays for its backward pass. The rest, such as layers computed beside it, nobody can reach any more.
    const history = historyOf(kept)
    for (const node of waiting) if (!history.has(node)) node.release()
  }

  /** The same, and the end of the history of all that was made in it: nothing of that can be differentiated any more. */
  closeHistory(survivors: unknown = undefined): void {
    for (const node of this.#nodes.splice(0)) node.release()
    this.close(survivors)
  }

  [Symbol.dispose](): void {
    this.close()
  }
}

let current: Scope | null = null

export function currentScope(): Scope | null {
  return current
}

/** The nodes that results were made by, directly or not. */
function historyOf(results: Iterable<Disposable>): Set<Releasable> {
  const stack = Array.from(results, (result) => (result as { origin?: { node: Releasable } | null }).origin?.node)
  const history = new Set<Releasable>()
  while (stack.length > 0) {
    const node = stack.pop()
    if (node === undefined || history.has(node)) continue
    history.add(node)
    stack.push(...node.parents())
  }
  return history
}

/** The disposables in a result: itself, or the elements of arrays and plain objects, however deep. */
function reach(value: unknown, found = new Set<Disposable>()): Set<Disposable> {
  if (value === null || typeof value !== 'object') return found
  if (typeof (value as Disposable).dispose === 'function') found.add(value as Disposable)
  else if (Array.isArray(value)) for (const item of value) reach(item, found)
  else if (Object.getPrototypeOf(value) === Object.prototype)
    for (const item of Object.values(value)) reach(item, found)
  return found
}

/**
 * Runs `body` and frees every tensor made in it that is not part of its result.
 *
 * ```ts
 * const y = scope(() => silu(groupNorm(x, weight, bias, { groups: 32 })))
 * ```
 */
export function scope<T>(body: () => T): T {
  const opened = new Scope()
  let result: T
  try {
    result = body()
  } catch (error) {
    opened.close()
    throw error
  }
  opened.close(result)
  return result
}

/** Takes a tensor out of every open scope: it lives until it is disposed. */
export function keep<T extends Disposable>(item: T): T {
  current?.forget(item)
  return item
}
