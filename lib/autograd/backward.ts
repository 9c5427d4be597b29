import { addon } from '../native/load.ts'
import { full } from '../tensor/create.ts'
import type { DType } from '../tensor/dtype.ts'
import { keep, scope } from '../tensor/scope.ts'
import { formatShape, sameShape } from '../tensor/shape.ts'
import { retain, type Tensor, wrap } from '../tensor/tensor.ts'
import { ArgumentError } from '../util/errors.ts'
import type { TurnOptions } from './inTurns.ts'
import { LeafReads, type LeafWatch } from './leafReads.ts'
import { noGrad, type TapeNode } from './tape.ts'

/**
 * Computes the gradient of `loss` with respect to every leaf it depends on and adds it to the leaf's `grad`. The graph is consumed:
 * what it saved is freed on the way back.
 * @param gradient dL/dloss for a `loss` that is not a scalar; default 1
 * @param watch is told of leaves as soon as their gradients are complete. Default: nobody
 * @throws ArgumentError when `loss` depends on no tensor that requires a gradient, or its graph was consumed before
 */
export function backward(loss: Tensor, gradient?: Tensor, watch?: LeafWatch): void {
  const pass = startPass(loss, gradient, watch)
  while (!inScope(pass)) {}
}

/**
 * `backward` with pauses: after every `budgetMs` of work it waits for `turn`, so that a long pass does not hold up the event loop.
 * Gradients are the same bits. Run nothing else on the same graph meanwhile.
 * @param options.turn resolves when others have had their turn
 * @param options.watch as that of {@link backward}
 */
export async function backwardInTurns(
  loss: Tensor,
  { turn, budgetMs = 5, watch }: TurnOptions & { readonly watch?: LeafWatch },
): Promise<void> {
  const pass = startPass(loss, undefined, watch)
  for (let started = performance.now(); !inScope(pass); )
    if (performance.now() - started > budgetMs) {
      await turn()
      started = performance.now()
    }
}

/** A pass under way, and what it tells of leaves. */
interface Pass {
  readonly steps: Generator<void>
  readonly reads: LeafReads | null
}

function startPass(loss: Tensor, gradient?: Tensor, watch?: LeafWatch): Pass {
  const origin = loss.origin
  if (origin === null)
    throw new ArgumentError('backward', 'loss', 'a result of ops on tensors with requiresGrad', String(loss))
  if (gradient === undefined && loss.size !== 1)
    throw new ArgumentError('backward', 'loss', 'a scalar, or a gradient must be given', formatShape(loss.shape))
  if (gradient !== undefined && !sameShape(gradient.shape, loss.shape))
    throw new ArgumentError('backward', 'gradient', `of shape ${formatShape(loss.shape)}`, formatShape(gradient.shape))
  if (watch !== undefined && collected !== null)
    throw new ArgumentError('backward', 'watch', 'left out in a step that is repeated', 'one that calls JavaScript')
  const reads = watch === undefined ? null : new LeafReads(watch)
  const node = origin.node as TapeNode
  return withReads(reads, () =>
    scope(() => {
      const start = gradient ?? full(loss.shape, 1, { dtype: loss.dtype, device: loss.device })
      return { steps: passFrom([{ node, output: origin.output, gradient: start }]), reads }
    }),
  )
}

/** One step of a pass, unrecorded, in a scope of its own; true when the pass is over. */
function inScope({ steps, reads }: Pass): boolean {
  return noGrad(() => withReads(reads, () => scope(() => steps.next().done === true)))
}

let watched: LeafReads | null = null

/** Runs a part of a pass: passes within it are a part of the same. */
function withReads<T>(reads: LeafReads | null, body: () => T): T {
  const before = watched
  watched = reads
  try {
    return body()
  } finally {
    watched = before
  }
}

export interface Seed {
  readonly node: TapeNode
  readonly output: number
  readonly gradient: Tensor
}

/**
 * @internal A whole pass, in the caller's scope.
 * @param own leaves that the caller made to find their gradients in them
 * @param within the node whose gradients it computes. Default: none
 */
export function backpropagate(
  seeds: readonly Seed[],
  own: readonly (Tensor | null)[] = [],
  within: TapeNode | null = null,
): void {
  for (const leaf of own) if (leaf !== null) inner.add(leaf)
  for (const _ of passFrom(seeds, within));
}

/** Leaves of passes within passes, in which those passes find their results. */
const inner = new WeakSet<Tensor>()

/** A gradient on its way to a leaf. */
export interface Contribution {
  readonly leaf: Tensor
  readonly gradient: Tensor
}

let collected: Contribution[] | null = null

/** @internal Runs `body` and puts what its backward passes have for leaves in `into`, in order, in place of the leaves' `grad`. */
export function collectGradients<T>(into: Contribution[], body: () => T): T {
  const before = collected
  collected = into
  try {
    return body()
  } finally {
    collected = before
  }
}

/** @internal Adds gradients to their leaves as a backward pass does. They are used up. */
export function addGradients(contributions: readonly Contribution[]): void {
  noGrad(() => scope(() => contributions.forEach(accumulate)))
}

/** The pass itself: later nodes first, each when all gradients of its outputs are complete; it pauses after each. */
function passFrom(seeds: readonly Seed[], within: TapeNode | null = null): Generator<void> {
  const arrived = new Map<TapeNode, (Tensor | null)[]>()
  const deliver = (node: TapeNode, output: number, gradient: Tensor): void => {
    const slots = arrived.get(node) ?? []
    arrived.set(node, slots)
    while (slots.length <= output) slots.push(null)
    const before = slots[output]
    slots[output] = keep(before ? add(before, gradient) : gradient) // it outlives the scope of this step
  }
  for (const { node, output, gradient } of seeds) deliver(node, output, retain(gradient))
  return steps(nodesFrom(seeds.map((seed) => seed.node)), { arrived, deliver, within })
}

interface PassParts {
  /** Gradients of outputs, of nodes that have not run. */
  readonly arrived: Map<TapeNode, (Tensor | null)[]>
  readonly deliver: (node: TapeNode, output: number, gradient: Tensor) => void
  /** The node that the pass is a part of. */
  readonly within: TapeNode | null
}

function* steps(nodes: readonly TapeNode[], { arrived, deliver, within }: PassParts): Generator<void> {
  try {
    watched?.enter(nodes, within)
    for (const node of nodes) {
      const gradients = arrived.get(node)
      if (gradients === undefined) {
        watched?.leave(node)
        continue
      }
      const results = differentiate(node, gradients)
      arrived.delete(node)
      for (const gradient of gradients) gradient?.dispose()
      node.edges.forEach((edge, input) => {
        const result = results[input]
        if (!result) return
        if (edge === null) result.dispose()
        else if ('leaf' in edge) arrive({ leaf: edge.leaf, gradient: result })
        else deliver(edge.node, edge.output, converted(result, edge.dtype))
      })
      watched?.leave(node)
      yield
    }
  } finally {
    for (const gradients of arrived.values()) for (const gradient of gradients) gradient?.dispose()
  }
}

/** The gradients of a node's inputs; what it saved is freed. */
function differentiate(node: TapeNode, gradients: readonly (Tensor | null)[]): readonly (Tensor | null)[] {
  if (node.released)
    throw new ArgumentError(
      'backward',
      'loss',
      'a graph that has not been consumed yet',
      `one whose ${node.op} was freed`,
    )
  const results = distinct(
    scope(() => node.run(gradients)),
    gradients,
  )
  node.release()
  return results
}

/** An op may pass its output's gradient on, even to several inputs; each receiver gets a reference of its own. */
function distinct(results: readonly (Tensor | null)[], gradients: readonly (Tensor | null)[]): (Tensor | null)[] {
  const taken = new Set<Tensor | null>(gradients)
  return results.map((result) => {
    if (result === null) return null
    if (taken.has(result)) return retain(result)
    taken.add(result)
    return result
  })
}

/** Every node reachable from `starts`, latest first. */
function nodesFrom(starts: readonly TapeNode[]): TapeNode[] {
  const seen = new Set<TapeNode>(starts)
  const stack = [...seen]
  for (let node = stack.pop(); node !== undefined; node = stack.pop()) {
    for (const edge of node.edges) {
      if (edge === null || 'leaf' in edge || seen.has(edge.node)) continue
      seen.add(edge.node)
      stack.push(edge.node)
    }
  }
  return [...seen].sort((a, b) => b.id - a.id)
}

/** Ops give gradients of parameters in float32; one that is made from other tensors takes them in its own type. Used up. */
function converted(gradient: Tensor, dtype: DType): Tensor {
  if (gradient.dtype === dtype) return gradient
  const result = wrap(addon.castForward(gradient.handle, dtype))
  gradient.dispose()
  return result
}

/** The sum of two gradients; both are used up. */
function add(a: Tensor, b: Tensor): Tensor {
  const sum = wrap(addon.addForward(a.handle, b.handle, 0))
  a.dispose()
  b.dispose()
  return sum
}

function arrive(contribution: Contribution): void {
  if (collected === null || inner.has(contribution.leaf)) accumulate(contribution)
  else collected.push({ ...contribution, gradient: keep(contribution.gradient) })
}

function accumulate({ leaf, gradient }: Contribution): void {
  leaf.grad = keep(leaf.grad === null ? gradient : add(leaf.grad, gradient))
}
