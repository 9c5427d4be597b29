/**
 * When a leaf may be changed in the middle of a backward pass: after the last node that adds to its gradient, reads its values, or
 * computes with it once more.
 */
import { scope } from '../tensor/scope.ts'
import type { SharedHandle, Tensor } from '../tensor/tensor.ts'
import { ArgumentError } from '../util/errors.ts'
import { noGrad, type TapeNode } from './tape.ts'

/** What is told of leaves whose gradients are complete. */
export interface LeafWatch {
  /** Others are passed over. */
  readonly leaves: Iterable<Tensor>
  /**
   * The leaf's `grad` is what it will be after the pass, and nothing that is left of the pass reads the leaf: it may be changed in
   * place, and its gradient be freed. Nothing is recorded, and other tensors made here are freed.
   */
  readonly onComplete: (leaf: Tensor) => void
}

/** Nodes of a pass, and of passes within it, that have not run yet, by the leaf that they need. */
export class LeafReads {
  readonly #onComplete: LeafWatch['onComplete']
  /** By their memory: a reference to a leaf, such as one that a node has saved, is the leaf. */
  readonly #leaves = new Map<SharedHandle, Set<Tensor>>()
  readonly #pending = new Map<SharedHandle, number>()
  readonly #complete = new Set<SharedHandle>()
  /** What each node needs for its own gradient, and what it will compute with once more in a pass of its own. */
  readonly #needs = new Map<TapeNode, { readonly own: Set<SharedHandle>; again: Set<SharedHandle> }>()

  constructor({ leaves, onComplete }: LeafWatch) {
    this.#onComplete = onComplete
    for (const leaf of leaves) {
      const same = this.#leaves.get(leaf.shared) ?? new Set()
      this.#leaves.set(leaf.shared, same.add(leaf))
    }
  }

  /**
   * A pass begins, with these nodes.
   * @param within the node of an outer pass that it is a part of: what that would compute with once more is in these nodes now
   */
  enter(nodes: readonly TapeNode[], within: TapeNode | null): void {
    for (const node of nodes) {
      const [own, again] = [this.#watched(node.reads()), this.#watched(node.computesAgainWith)]
      this.#needs.set(node, { own, again })
      this.#count([...own, ...again])
    }
    const outer = within === null ? undefined : this.#needs.get(within)
    if (outer === undefined) return
    const handedOver = outer.again
    outer.again = new Set()
    this.#settle(handedOver)
  }

  /** A node has run, or will not. */
  leave(node: TapeNode): void {
    const needs = this.#needs.get(node)
    if (needs === undefined) return
    this.#needs.delete(node)
    this.#settle([...needs.own, ...needs.again])
  }

  #watched(handles: Iterable<SharedHandle>): Set<SharedHandle> {
    const found = new Set<SharedHandle>()
    for (const handle of handles) if (this.#leaves.has(handle)) found.add(handle)
    return found
  }

  #count(handles: Iterable<SharedHandle>): void {
    for (const handle of handles) {
      if (this.#complete.has(handle))
        throw new ArgumentError(
          'recompute',
          'body',
          'what computes the same both times',
          'one that used another parameter the second time',
        )
      this.#pending.set(handle, (this.#pending.get(handle) ?? 0) + 1)
    }
  }

  #settle(handles: Iterable<SharedHandle>): void {
    for (const handle of handles) {
      const left = this.#pending.get(handle)! - 1
      this.#pending.set(handle, left)
      if (left > 0) continue
      this.#complete.add(handle)
      for (const leaf of this.#leaves.get(handle)!) if (leaf.grad !== null) this.#tell(leaf)
    }
  }

  #tell(leaf: Tensor): void {
    noGrad(() => scope(() => this.#onComplete(leaf)))
  }
}
