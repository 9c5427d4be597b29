/** Leaves that are told of in the middle of a backward pass: once each, and not before the last that needs them. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { backward, backwardInTurns } from '../../lib/autograd/backward.ts'
import { recompute } from '../../lib/autograd/recompute.ts'
import { repeatable } from '../../lib/autograd/repeatable.ts'
import { accumulate } from '../../lib/ops/accumulate.ts'
import { add } from '../../lib/ops/add.ts'
import { linear } from '../../lib/ops/linear.ts'
import { mean } from '../../lib/ops/mean.ts'
import { mul } from '../../lib/ops/mul.ts'
import { scale } from '../../lib/ops/scale.ts'
import { silu } from '../../lib/ops/silu.ts'
import { randomNormal, tensor } from '../../lib/tensor/create.ts'
import { keep, scope } from '../../lib/tensor/scope.ts'
import { share, type Tensor } from '../../lib/tensor/tensor.ts'
import { baselineBuffers, liveBuffers } from '../support/device.ts'

const size = 8
let baseline: number
beforeEach(async () => {
  baseline = await baselineBuffers()
})
afterEach(async () => {
  expect(await liveBuffers()).toBe(baseline)
})

/** Layers that read the weights of the same names. */
type Layer = (x: Tensor, weight: (name: string) => Tensor) => Tensor

const layer =
  (name: string): Layer =>
  (x, weight) =>
    silu(linear(x, weight(name), null, null, null, null))
const inOrder =
  (...layers: readonly Layer[]): Layer =>
  (x, weight) =>
    layers.reduce((h, each) => each(h, weight), x)
const again =
  (inner: Layer): Layer =>
  (x, weight) =>
    recompute([x], (h) => inner(h!, weight))
/** The weights as they are, in the result. */
const plus =
  (name: string): Layer =>
  (x, weight) =>
    add(x, mul(weight(name), weight(name)))

/** The weights as a constant: they are read, and their gradient does not change. */
const times =
  (name: string): Layer =>
  (x, weight) =>
    mul(x, share(weight(name)))

interface Outcome {
  readonly weights: readonly number[][]
  /** In the order in which they were complete. */
  readonly told: readonly string[]
}

/** One step of gradient descent with a large rate, in the pass or after it. */
async function descend(net: Layer, inPass: boolean, inTurns = false): Promise<Outcome> {
  const weights = new Map<string, Tensor>()
  const told: string[] = []
  const weight = (name: string): Tensor => {
    const known = weights.get(name)
    if (known) return known
    const fresh = keep(randomNormal([size, size], { seed: name.charCodeAt(0) }))
    fresh.requiresGrad = true
    weights.set(name, fresh)
    return fresh
  }
  const step = (leaf: Tensor): void => {
    accumulate(leaf, scale(leaf.grad!, { factor: -10 }))
    leaf.grad!.dispose()
    leaf.grad = null
  }
  const loss = keep(scope(() => mean(net(randomNormal([size, size], { seed: 1 }), weight))))
  const names = new Map([...weights].map(([name, leaf]) => [leaf, name]))
  const watch = {
    leaves: weights.values(),
    onComplete: (leaf: Tensor) => {
      told.push(names.get(leaf)!)
      step(leaf)
    },
  }
  if (!inPass) backward(loss)
  else if (inTurns) await backwardInTurns(loss, { turn: () => Promise.resolve(), budgetMs: 0, watch })
  else backward(loss, undefined, watch)
  if (!inPass) for (const leaf of weights.values()) scope(() => step(leaf))
  const values = await Promise.all(Array.from(weights.values(), async (leaf) => [...(await leaf.read())].map(Number)))
  loss.dispose()
  for (const leaf of weights.values()) leaf.dispose()
  return { weights: values, told }
}

describe('a backward pass', () => {
  it.each<[string, Layer, string]>([
    ['after each layer', inOrder(layer('a'), layer('b'), layer('c')), 'cba'],
    ['after the first of the layers that share one', inOrder(layer('a'), layer('b'), layer('a')), 'ba'],
    ['within a recomputed part', again(inOrder(layer('a'), layer('b'), layer('c'))), 'cba'],
    [
      'after a part that comes before a recomputed one',
      inOrder(layer('a'), again(inOrder(layer('b'), layer('a')))),
      'ba',
    ],
    ['after a recomputed part that comes before', inOrder(again(inOrder(layer('a'), layer('b'))), layer('b')), 'ba'],
    ['after two recomputed parts', inOrder(again(layer('a')), again(inOrder(layer('b'), layer('a')))), 'ba'],
    ['after parts within parts', again(inOrder(layer('b'), again(inOrder(layer('a'), layer('b'))), layer('c'))), 'cab'],
    ['after a part within a part', again(inOrder(again(layer('a')), layer('b'), again(layer('c')))), 'cba'],
    ['after what reads it as a constant', inOrder(layer('c'), times('a'), layer('b'), layer('a')), 'bac'],
    [
      'after a recomputed part that does',
      inOrder(layer('c'), again(inOrder(layer('b'), times('a'))), layer('a')),
      'abc',
    ],
    ['where it is used twice at a time', inOrder(plus('a'), layer('a'), plus('b'), again(plus('b'))), 'ba'],
  ])('tells of a leaf %s, once', async (_name, net, order) => {
    const plain = await descend(net, false)
    const fused = await descend(net, true)
    expect(fused.told.join('')).toBe(order)
    expect(fused.weights).toEqual(plain.weights)
    expect(await descend(net, true, true)).toEqual(fused)
  })

  it('does not tell of what it does not reach, nor of what it is not asked for', () => {
    const [a, b, c] = [1, 2, 3].map((value) => {
      const leaf = tensor([value], [1])
      leaf.requiresGrad = true
      return leaf
    }) as [Tensor, Tensor, Tensor]
    const told: Tensor[] = []
    const loss = scope(() => mean(mul(a, b)))
    backward(loss, undefined, { leaves: [a, c], onComplete: (leaf) => told.push(leaf) })
    expect(told).toEqual([a])
    for (const each of [a, b, c, loss]) each.dispose()
  })

  it('refuses a recomputed part that reads other leaves the second time', () => {
    const [a, b] = [1, 2].map((value) => {
      const leaf = tensor([value], [1])
      leaf.requiresGrad = true
      return leaf
    }) as [Tensor, Tensor]
    let runs = 0
    scope(() => {
      const part = recompute([a], (x) => mul(x!, runs++ === 0 ? x! : b))
      const loss = mean(mul(part, b))
      const watch = { leaves: [b], onComplete: () => {} }
      expect(() => backward(loss, undefined, watch)).toThrow(
        'recompute: body must be what computes the same both times',
      )
    })
    for (const each of [a, b]) each.dispose()
  })

  it('refuses to tell of leaves in a step that is repeated without its JavaScript', () => {
    const a = tensor([1], [1])
    a.requiresGrad = true
    const step = repeatable((x) => {
      const loss = mean(mul(a, x!))
      backward(loss, undefined, { leaves: [a], onComplete: () => {} })
      return [loss]
    })
    const x = tensor([2], [1])
    expect(() => step([x])).toThrow('backward: watch must be left out in a step that is repeated')
    step.dispose()
    for (const each of [a, x]) each.dispose()
  })
})
