import { atCallSite, callSite } from '../tensor/callSite.ts'
import { scope } from '../tensor/scope.ts'
import { retain, type SharedHandle, share, type Tensor } from '../tensor/tensor.ts'
import { backpropagate } from './backward.ts'
import { alsoObserveOps, type OpObserver } from './observeOps.ts'
import { edgeTo, gradientsEnabled, noGrad, TapeNode, withGrad } from './tape.ts'

/**
 * Activation checkpointing (Chen et al., "Training deep nets with sublinear memory cost", 2016): runs `body` without recording, keeps
 * only its inputs, and runs it again, recording, when its gradient is wanted. Result and gradients are the same bits as those of
 * {@link grouped}.
 * Parameters used inside `body` receive their gradients as usual. `body` must compute the same thing both times: its random
 * numbers must be functions of given keys.
 */
export function recompute(inputs: readonly (Tensor | null)[], body: (...inputs: (Tensor | null)[]) => Tensor): Tensor {
  if (!gradientsEnabled()) return body(...inputs)
  const [found, madeInside] = [new Set<SharedHandle>(), new Set<SharedHandle>()]
  const note: OpObserver = (_op, used, result) => {
    for (const input of used) if (input !== null && !madeInside.has(input.shared)) found.add(input.shared)
    madeInside.add(result.shared)
  }
  const made = noGrad(() => scope(() => alsoObserveOps(note, () => body(...inputs))))
  // A body may hand out what it was given: the result needs a history of its own.
  const y = made.tracked || inputs.includes(made) ? share(made) : made
  const saved = inputs.map((input) => input && retain(input))
  const site = callSite()
  const node = new TapeNode({
    op: 'recompute',
    edges: inputs.map(edgeTo),
    saved,
    computesAgainWith: found,
    backward: ([dy]) => {
      if (!dy) return inputs.map(() => null)
      const insides = saved.map((tensor, i) => {
        const leaf = tensor && retain(tensor)
        if (leaf) leaf.requiresGrad = node.edges[i] !== null
        return leaf
      })
      try {
        const again = withGrad(() => atCallSite(() => body(...insides), site))
        const same = insides.indexOf(again)
        const { origin } = again
        if (same >= 0) insides[same]!.grad = retain(dy)
        else if (origin !== null)
          backpropagate([{ node: origin.node as TapeNode, output: origin.output, gradient: dy }], insides, node)
        return insides.map((leaf) => {
          const gradient = leaf?.grad ?? null
          if (leaf) leaf.grad = null
          return gradient
        })
      } finally {
        for (const leaf of insides) leaf?.dispose()
      }
    },
  })
  y.origin = { node, output: 0 }
  return y
}

/**
 * Runs `body`, recording: what {@link recompute} does, with activations kept. An input used several times inside collects its
 * gradient inside first and passes the sum on, in the order of `recompute`, so that both give the same bits.
 */
export function grouped(inputs: readonly (Tensor | null)[], body: (...inputs: (Tensor | null)[]) => Tensor): Tensor {
  return scope(() => body(...inputs.map((input) => (input?.tracked && gradientsEnabled() ? doorway(input) : input))))
}

/** The same values with a history of their own, through which every gradient of a group leaves it. */
function doorway(input: Tensor): Tensor {
  const inside = share(input)
  const node = new TapeNode({ op: 'grouped', edges: [edgeTo(input)], saved: [], backward: ([dy]) => [dy ?? null] })
  inside.origin = { node, output: 0 }
  return inside
}
