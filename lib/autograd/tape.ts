/**
 * The record of what was computed, for the backward pass: a graph of nodes that points from each result to the inputs it came
 * from. Nodes own the tensors they saved and release them as soon as their gradients have been computed.
 */

import type { DType } from '../tensor/dtype.ts'
import { currentScope, type Releasable } from '../tensor/scope.ts'
import type { SharedHandle, Tensor } from '../tensor/tensor.ts'

/** Where an input's gradient goes: to a leaf, or to what the input was made by, in its type; null: nowhere. */
export type Edge =
  | { readonly leaf: Tensor }
  | { readonly node: TapeNode; readonly output: number; readonly dtype: DType }
  | null

export interface TapeNodeParts {
  readonly op: string
  readonly edges: readonly Edge[]
  /** Gradients of the outputs to gradients of the inputs, null where none is needed. An output nobody used has gradient null. */
  readonly backward: (gradients: readonly (Tensor | null)[]) => readonly (Tensor | null)[]
  readonly saved: readonly (Tensor | null)[]
  /** Memory that `backward` computes with once more, in a pass of its own. Default: none. */
  readonly computesAgainWith?: Iterable<SharedHandle>
}

let nextId = 0

export class TapeNode implements Releasable {
  /** Later nodes have higher numbers: inputs always precede what is made from them. */
  readonly id = nextId++
  readonly op: string
  readonly edges: readonly Edge[]
  readonly #backward: TapeNodeParts['backward']
  readonly computesAgainWith: Iterable<SharedHandle>
  #saved: readonly (Tensor | null)[]
  #released = false

  constructor({ op, edges, backward, saved, computesAgainWith = [] }: TapeNodeParts) {
    this.op = op
    this.edges = edges
    this.computesAgainWith = computesAgainWith
    this.#backward = backward
    this.#saved = saved
    currentScope()?.adoptNode(this)
  }

  get released(): boolean {
    return this.#released
  }

  *parents(): Generator<TapeNode> {
    for (const edge of this.edges) if (edge !== null && 'node' in edge) yield edge.node
  }

  /** The memory of leaves that it adds to, and of what it saved. */
  *reads(): Generator<SharedHandle> {
    for (const edge of this.edges) if (edge !== null && 'leaf' in edge && !edge.leaf.disposed) yield edge.leaf.shared
    for (const tensor of this.#saved) if (tensor !== null && !tensor.disposed) yield tensor.shared
  }

  run(gradients: readonly (Tensor | null)[]): readonly (Tensor | null)[] {
    return this.#backward(gradients)
  }

  /** Disposes what was saved. */
  release(): void {
    if (this.#released) return
    this.#released = true
    for (const tensor of this.#saved) tensor?.dispose()
    this.#saved = []
  }
}

/** Frees what the history of a tensor has saved: for a result that is not differentiated after all. */
export function forgetHistory({ origin }: Tensor): void {
  const found = new Set<TapeNode>()
  const waiting = origin === null ? [] : [origin.node as TapeNode]
  for (let node = waiting.pop(); node !== undefined; node = waiting.pop()) {
    if (found.has(node)) continue
    found.add(node)
    waiting.push(...node.parents())
    node.release()
  }
}

export function edgeTo(tensor: Tensor | null): Edge {
  if (tensor === null || !tensor.tracked) return null
  const { origin } = tensor
  if (origin !== null) return { node: origin.node as TapeNode, output: origin.output, dtype: tensor.dtype }
  return { leaf: tensor }
}

let enabled = true

/** Whether ops are recorded. */
export function gradientsEnabled(): boolean {
  return enabled
}

function withGradients<T>(on: boolean, body: () => T): T {
  const before = enabled
  enabled = on
  try {
    return body()
  } finally {
    enabled = before
  }
}

/** Runs `body` without recording: for inference and for updates of parameters. `body` must not be asynchronous. */
export function noGrad<T>(body: () => T): T {
  return withGradients(false, body)
}

/** @internal Runs `body` with recording on, inside a noGrad. */
export function withGrad<T>(body: () => T): T {
  return withGradients(true, body)
}
